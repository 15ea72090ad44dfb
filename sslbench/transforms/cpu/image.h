/* What every operation works on. */
#ifndef SSLBENCH_IMAGE_H
#define SSLBENCH_IMAGE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int channels, size; /* planes of size x size */
    int edge;           /* what lies outside: 0, nought (pictures); 1, the nearest pixel (maps of locations) */
    float *pixels;      /* [channels, size, size] */
    float *spare;       /* as large, for operations that cannot work in place; it holds nothing of worth */
} Image;

static int least(int a, int b) { return a < b ? a : b; }
static float between_0_and_1(float x) {
    x = x < 0.0f ? 0.0f : x;
    return x > 1.0f ? 1.0f : x;
}

static void swap(Image *image) {
    float *pixels = image->pixels;
    image->pixels = image->spare;
    image->spare = pixels;
}

#endif
