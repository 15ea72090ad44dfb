/* Operations on colour: three channels in [0, 1], with torchvision's meaning of every number. */
#ifndef SSLBENCH_COLOR_H
#define SSLBENCH_COLOR_H

#include "image.h"

#define LUMA(red, green, blue) ((red) * 0.2989f + (green) * 0.587f + (blue) * 0.114f) /* torchvision's weights */

#define CHANNELS(image)                                                            \
    const size_t plane = (size_t)(image)->size * (image)->size;                    \
    float *restrict red = (image)->pixels, *restrict green = (image)->pixels + plane; \
    float *restrict blue = (image)->pixels + 2 * plane

/* Sums of 64 lanes over short stretches, then of those in double: as exact as it is fast. */
static double sum(const float *restrict values, size_t count) {
    enum { LANES = 64, STRETCH = 1024 };
    double total = 0;
    size_t i = 0;
    while (i + LANES <= count) {
        float lanes[LANES] = {0};
        const size_t end = i + STRETCH < count ? i + STRETCH : count;
        for (; i + LANES <= end; i += LANES)
            for (int lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane];
        for (int width = LANES / 2; width >= 8; width /= 2)
            for (int lane = 0; lane < width; lane++) lanes[lane] += lanes[lane + width];
        for (int lane = 0; lane < 8; lane++) total += lanes[lane];
    }
    for (; i < count; i++) total += values[i];
    return total;
}

static void brightness(Image *image, float factor) {
    const size_t count = 3 * (size_t)image->size * image->size;
    float *restrict pixels = image->pixels;
    for (size_t i = 0; i < count; i++) pixels[i] = between_0_and_1(pixels[i] * factor);
}

static void contrast(Image *image, float factor) {
    CHANNELS(image);
    const double mean = LUMA(sum(red, plane), sum(green, plane), sum(blue, plane)) / (double)plane;
    const float rest = (float)mean * (1 - factor);
    float *restrict pixels = image->pixels;
    for (size_t i = 0; i < 3 * plane; i++) pixels[i] = between_0_and_1(pixels[i] * factor + rest);
}

static void saturation(Image *image, float factor) {
    CHANNELS(image);
    for (size_t i = 0; i < plane; i++) {
        const float grey = LUMA(red[i], green[i], blue[i]) * (1 - factor);
        red[i] = between_0_and_1(red[i] * factor + grey);
        green[i] = between_0_and_1(green[i] * factor + grey);
        blue[i] = between_0_and_1(blue[i] * factor + grey);
    }
}

/* A channel falls from the pixel's highest to its lowest value between 1/6 and 2/6 of a turn away from its own colour,
 * so the way back from hue needs no table of six cases (see ops/color.py). Here one unit is a sixth of a turn. */
static inline float from_hue(float hue, float own, float chroma, float low) {
    float away = hue - own;
    away = fabsf(away - 6.0f * rintf(away * (1 / 6.0f)));
    return low + chroma * between_0_and_1(2.0f - away);
}

static void hue(Image *image, float turns) {
    CHANNELS(image);
    for (size_t i = 0; i < plane; i++) {
        const float r = red[i], g = green[i], b = blue[i];
        const float high_rg = r > g ? r : g, high = high_rg > b ? high_rg : b;
        const float low_rg = r < g ? r : g, low = low_rg < b ? low_rg : b;
        const float chroma = high - low, whole = chroma > 1e-12f ? chroma : 1e-12f;
        const float slope = r == high ? g - b : g == high ? b - r : r - g;
        const float third = r == high ? 0.0f : g == high ? 2.0f : 4.0f;
        const float at = slope / whole + third + 6.0f * turns;
        red[i] = from_hue(at, 0.0f, chroma, low);
        green[i] = from_hue(at, 2.0f, chroma, low);
        blue[i] = from_hue(at, 4.0f, chroma, low);
    }
}

/* factors of brightness, contrast, saturation and hue; then the order, as four of their positions, -1 for none */
static void color_jitter(Image *image, const double *values) {
    static void (*const steps[4])(Image *, float) = {brightness, contrast, saturation, hue};
    for (int turn = 4; turn < 8; turn++) {
        const int step = (int)values[turn];
        if (step >= 0) steps[step](image, (float)values[step]);
    }
}

static void grayscale(Image *image, const double *unused) {
    (void)unused;
    CHANNELS(image);
    for (size_t i = 0; i < plane; i++) red[i] = green[i] = blue[i] = LUMA(red[i], green[i], blue[i]);
}

/* threshold */
static void solarize(Image *image, const double *values) {
    const size_t count = (size_t)image->channels * image->size * image->size;
    const float threshold = (float)values[0];
    float *restrict pixels = image->pixels;
    for (size_t i = 0; i < count; i++) pixels[i] = pixels[i] >= threshold ? 1 - pixels[i] : pixels[i];
}

#endif
