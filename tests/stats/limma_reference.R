# The reference cases of test_empirical_bayes.py: Rscript tests/stats/limma_reference.R > tests/stats/limma_reference.csv
suppressMessages(library(limma))
set.seed(20161)
options(digits = 15)
cases <- list(
  alike = list(x = rchisq(10, 2) / 2, d = 2),
  two_loud = list(x = c(rchisq(8, 2), 49 * rchisq(2, 2)) / 2 * 1e-4, d = 2),
  scattered = list(x = 1e-4 * rf(60, 2, 6), d = 2),
  scattered_and_loud = list(x = c(1e-4 * rf(57, 2, 6), 0.02, 0.05, 0.4), d = 2),
  one_degree = list(x = c(1e-4 * rf(28, 1, 10), 0.3, 0.9), d = 1),
  five_seeds = list(x = c(1e-4 * rf(18, 4, 8), 0.004, 0.01), d = 4),
  unequal = list(x = c(1e-4 * rf(20, 2, 6), 1e-4 * rf(20, 4, 6), 0.03), d = c(rep(2, 20), rep(4, 20), 2)),
  six = list(x = c(1e-4 * rchisq(5, 2) / 2, 0.01), d = 2),
  zeros = list(x = c(0, 1e-4 * rf(14, 2, 6), 0.02), d = 2)
)
cat("case,variance,freedom,s0,d0,each\n")
for (name in names(cases)) {
  case <- cases[[name]]
  found <- suppressWarnings(fitFDistRobustly(case$x, case$d))
  d <- rep_len(case$d, length(case$x))
  each <- rep_len(found$df2.shrunk, length(d))
  for (i in seq_along(d)) {
    values <- c(case$x[i], d[i], found$scale, found$df2, each[i])
    cat(name, ",", paste(sprintf("%.12g", values), collapse = ","), "\n", sep = "")
  }
}
