/* Gaussian blur, along rows and then along columns. */
#ifndef SSLBENCH_BLUR_H
#define SSLBENCH_BLUR_H

#include "image.h"

/* As wide as the processor's registers. An array of sums in a plain loop is kept in memory, which is 3 times slower. */
#if defined(__AVX512F__)
#define LANE_BYTES 64
#elif defined(__AVX__)
#define LANE_BYTES 32
#else
#define LANE_BYTES 16
#endif
typedef float Lanes __attribute__((vector_size(LANE_BYTES)));

static inline Lanes lanes(const float *from) {
    Lanes values;
    memcpy(&values, from, sizeof values);
    return values;
}

/* out[i] = the sum over t of kernel[|t|] x rows[radius + t][i], for t in -radius .. radius */
static void weigh(const float *const *rows, const float *kernel, int radius, float *restrict out, int count) {
    enum { ONE = LANE_BYTES / 4, ALL = 4 * ONE };
    int i = 0;
    for (; i + ALL <= count; i += ALL) {
        const float *m = rows[radius] + i;
        Lanes a = kernel[0] * lanes(m), b = kernel[0] * lanes(m + ONE), c = kernel[0] * lanes(m + 2 * ONE),
              d = kernel[0] * lanes(m + 3 * ONE);
        for (int t = 1; t <= radius; t++) {
            const float *one = rows[radius - t] + i, *other = rows[radius + t] + i;
            a += kernel[t] * (lanes(one) + lanes(other));
            b += kernel[t] * (lanes(one + ONE) + lanes(other + ONE));
            c += kernel[t] * (lanes(one + 2 * ONE) + lanes(other + 2 * ONE));
            d += kernel[t] * (lanes(one + 3 * ONE) + lanes(other + 3 * ONE));
        }
        memcpy(out + i, &a, sizeof a);
        memcpy(out + i + ONE, &b, sizeof b);
        memcpy(out + i + 2 * ONE, &c, sizeof c);
        memcpy(out + i + 3 * ONE, &d, sizeof d);
    }
    for (; i + ONE <= count; i += ONE) {
        Lanes a = kernel[0] * lanes(rows[radius] + i);
        for (int t = 1; t <= radius; t++) a += kernel[t] * (lanes(rows[radius - t] + i) + lanes(rows[radius + t] + i));
        memcpy(out + i, &a, sizeof a);
    }
    for (; i < count; i++) {
        float total = kernel[0] * rows[radius][i];
        for (int t = 1; t <= radius; t++) total += kernel[t] * (rows[radius - t][i] + rows[radius + t][i]);
        out[i] = total;
    }
}

static int reflected(int i, int size) { /* the border itself is not repeated */
    i = i < 0 ? -i : i;
    return i < size ? i : 2 * (size - 1) - i;
}

/* standard deviation, px; radius of the kernel, which a small image cuts to what it can reflect */
static void gaussian_blur(Image *image, const double *values) {
    const int size = image->size;
    int radius = least((int)values[1], size - 1);
    const size_t plane = (size_t)size * size;
    float kernel[radius + 1], padded[size + 2 * radius];
    const float *rows[2 * radius + 1];
    double total = 0;
    for (int t = -radius; t <= radius; t++) total += exp(-0.5 * t * t / (values[0] * values[0]));
    for (int t = 0; t <= radius; t++) kernel[t] = (float)(exp(-0.5 * t * t / (values[0] * values[0])) / total);
    while (radius > 0 && kernel[radius] < 1e-8f) radius--; /* what float32 would not show */

    for (int channel = 0; channel < image->channels; channel++) {
        float *restrict pixels = image->pixels + channel * plane, *restrict across = image->spare;
        for (int t = 0; t <= 2 * radius; t++) rows[t] = padded + t;
        for (int y = 0; y < size; y++) {
            const float *restrict row = pixels + (size_t)y * size;
            memcpy(padded + radius, row, sizeof(float) * size);
            for (int t = 1; t <= radius; t++) {
                padded[radius - t] = row[t];
                padded[radius + size - 1 + t] = row[size - 1 - t];
            }
            weigh(rows, kernel, radius, across + (size_t)y * size, size);
        }
        for (int y = 0; y < size; y++) {
            for (int t = -radius; t <= radius; t++) rows[radius + t] = across + (size_t)reflected(y + t, size) * size;
            weigh(rows, kernel, radius, pixels + (size_t)y * size, size);
        }
    }
}

#endif
