// Draws the page's charts live, each where its drawing stands still, when it comes near the screen. The drawing stays
// where anything fails. Colours are the page's by charts.css, so nothing is drawn again when they are switched.
const theme = $theme;

const tip = document.createElement("div");
tip.id = "chart-tip";
tip.hidden = true;
document.body.append(tip);

function tell(handler, event, item, value) {
  tip.hidden = value === null || value === undefined || value === "";
  if (tip.hidden) return;
  tip.replaceChildren(...Object.entries(value).map(([name, text]) => {
    const line = document.createElement("div"), label = document.createElement("span");
    label.textContent = name;
    line.append(label, String(text));
    return line;
  }));
  const { clientWidth, clientHeight } = document.documentElement;
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, clientWidth - tip.offsetWidth - 4)) + "px";
  const below = event.clientY + 14 + tip.offsetHeight < clientHeight;
  tip.style.top = (below ? event.clientY + 14 : Math.max(4, event.clientY - tip.offsetHeight - 10)) + "px";
}
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

// usermeta.fluid: the plot's width may shrink, and names of its layers that begin with "label" go where it is small;
// usermeta.panel: the width of a panel, of which fewer stand beside each other.
function fit(spec, box, full) {
  const { fluid, panel } = spec.usermeta ?? {};
  if (box >= full) return theme;
  if (panel) spec.columns = Math.max(1, Math.floor((box - 30) / panel));
  const limit = Math.min(280, Math.max(110, box * 0.38));
  if (fluid) {
    const plot = spec.hconcat ? spec.hconcat[0] : spec;
    plot.width = Math.max(180, plot.width - (full - box));
    if (plot.width < 480) plot.layer = plot.layer.filter((layer) => !(layer.name ?? "").startsWith("label"));
  }
  const visit = (part) => {
    if (part === null || typeof part !== "object") return;
    if (part.legend?.columns) part.legend.columns = Math.max(1, Math.floor(part.legend.columns * box / full));
    Object.values(part).forEach(visit);
  };
  visit({ ...spec, data: null });
  return { ...theme, axis: { ...theme.axis, labelLimit: limit } };
}

async function draw(figure) {
  const canvas = figure.querySelector(".canvas"), still = figure.querySelector(".still"), live = document.createElement("div");
  live.className = "live";
  canvas.append(live);
  try {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const config = fit(spec, canvas.clientWidth, still.firstElementChild.viewBox.baseVal.width);
    await vegaEmbed(live, spec, {
      mode: "vega-lite", renderer: "svg", config, tooltip: tell, defaultStyle: false, forceActionsMenu: true, downloadFileName: figure.dataset.chart,
      actions: { export: true, source: false, compiled: false, editor: false },
    });
    still.hidden = true;
  } catch (error) {
    live.remove();
    console.warn("sslbench: a chart stands still:", error);
  }
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "300px" });
document.querySelectorAll("figure[data-chart]").forEach((figure) => near.observe(figure));
