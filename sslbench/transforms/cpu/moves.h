/* Operations that move pixels: of pictures, and of maps of locations. */
#ifndef SSLBENCH_MOVES_H
#define SSLBENCH_MOVES_H

#include "image.h"

static void horizontal_flip(Image *image, const double *unused) {
    (void)unused;
    const int size = image->size;
    for (int row = 0; row < image->channels * size; row++) {
        const float *restrict from = image->pixels + (size_t)row * size;
        float *restrict to = image->spare + (size_t)row * size;
        for (int x = 0; x < size; x++) to[x] = from[size - 1 - x];
    }
    swap(image);
}

static void vertical_flip(Image *image, const double *unused) {
    (void)unused;
    const int size = image->size;
    for (int channel = 0; channel < image->channels; channel++)
        for (int y = 0; y < size; y++)
            memcpy(image->spare + ((size_t)channel * size + y) * size,
                   image->pixels + ((size_t)channel * size + size - 1 - y) * size, sizeof(float) * size);
    swap(image);
}

/* A square of a plane from `from` to `to`, turned counter-clockwise by quarters, in blocks that stay in cache. */
static void turn(const float *restrict from, float *restrict to, int size, int side, int quarters) {
    enum { BLOCK = 16 };
    const ptrdiff_t last = side - 1;
    const ptrdiff_t origin = (quarters >= 2 ? last * size : 0) + (quarters == 1 || quarters == 2 ? last : 0);
    const ptrdiff_t down = quarters == 0 ? size : quarters == 1 ? -1 : quarters == 2 ? -size : 1;
    const ptrdiff_t right = quarters == 0 ? 1 : quarters == 1 ? size : quarters == 2 ? -1 : -size;
    for (int y0 = 0; y0 < side; y0 += BLOCK)
        for (int x0 = 0; x0 < side; x0 += BLOCK)
            for (int y = y0; y < least(y0 + BLOCK, side); y++)
                for (int x = x0; x < least(x0 + BLOCK, side); x++)
                    to[(ptrdiff_t)y * size + x] = from[origin + y * down + x * right];
}

static void rotate_90(Image *image, const double *unused) {
    (void)unused;
    const size_t plane = (size_t)image->size * image->size;
    for (int channel = 0; channel < image->channels; channel++)
        turn(image->pixels + channel * plane, image->spare + channel * plane, image->size, image->size, 1);
    swap(image);
}

/* top, left, side, quarter turns */
static void rotate_square(Image *image, const double *values) {
    const int size = image->size, top = (int)values[0], left = (int)values[1], side = (int)values[2];
    for (int channel = 0; channel < image->channels; channel++) {
        float *square = image->pixels + ((size_t)channel * size + top) * size + left;
        turn(square, image->spare, size, side, (int)values[3]);
        for (int y = 0; y < side; y++)
            memcpy(square + (size_t)y * size, image->spare + (size_t)y * size, sizeof(float) * side);
    }
}

/* angle in degrees, counter-clockwise about the centre; bilinear */
static void rotate(Image *image, const double *values) {
    const int size = image->size, last = size - 1;
    const size_t plane = (size_t)size * size;
    const double radians = values[0] * (3.14159265358979323846 / 180), half = last / 2.0;
    const float cosine = (float)cos(radians), sine = (float)sin(radians);
    for (int channel = 0; channel < image->channels; channel++) {
        const float *restrict from = image->pixels + channel * plane;
        float *restrict to = image->spare + channel * plane;
        for (int y = 0; y < size; y++) {
            const float down = (float)(y - half);
            for (int x = 0; x < size; x++) {
                const float right = (float)(x - half);
                float at_x = cosine * right - sine * down + (float)half;
                float at_y = sine * right + cosine * down + (float)half;
                if (image->edge) {
                    at_x = fminf(fmaxf(at_x, 0.0f), (float)last);
                    at_y = fminf(fmaxf(at_y, 0.0f), (float)last);
                }
                const float low_x = floorf(at_x), low_y = floorf(at_y);
                const float part_x = at_x - low_x, part_y = at_y - low_y;
                const int x0 = (int)low_x, y0 = (int)low_y;
                /* Weights of pixels outside are nought; they are then read from within. */
                const float left_x = (x0 >= 0) & (x0 <= last) ? 1 - part_x : 0.0f;
                const float right_x = (x0 >= -1) & (x0 < last) ? part_x : 0.0f;
                const float upper_y = (y0 >= 0) & (y0 <= last) ? 1 - part_y : 0.0f;
                const float lower_y = (y0 >= -1) & (y0 < last) ? part_y : 0.0f;
                const int xa = x0 < 0 ? 0 : x0 > last ? last : x0, xb = x0 + 1 < 0 ? 0 : x0 + 1 > last ? last : x0 + 1;
                const int ya = y0 < 0 ? 0 : y0 > last ? last : y0, yb = y0 + 1 < 0 ? 0 : y0 + 1 > last ? last : y0 + 1;
                to[(size_t)y * size + x] = upper_y * (left_x * from[ya * size + xa] + right_x * from[ya * size + xb]) +
                                           lower_y * (left_x * from[yb * size + xa] + right_x * from[yb * size + xb]);
            }
        }
    }
    swap(image);
}

/* tiles N; then for each place of the N x N grid, along rows, the tile that it gets */
static void region_confusion(Image *image, const double *values) {
    const int size = image->size, tiles = (int)values[0];
    const size_t plane = (size_t)size * size;
#define EDGE(i) ((2 * (i) * size + tiles) / (2 * tiles)) /* tile i begins at the whole number nearest to i x size / N */
    for (int place = 0; place < tiles * tiles; place++) {
        const int tile = (int)values[1 + place];
        const int top = EDGE(place / tiles), bottom = EDGE(place / tiles + 1);
        const int left = EDGE(place % tiles), right = EDGE(place % tiles + 1);
        const int from_top = EDGE(tile / tiles), tall = EDGE(tile / tiles + 1) - from_top;
        const int from_left = EDGE(tile % tiles), wide = EDGE(tile % tiles + 1) - from_left;
        for (int y = top; y < bottom; y++) {
            const int from_y = from_top + (2 * (y - top) + 1) * tall / (2 * (bottom - top)); /* the nearest centre */
            for (int channel = 0; channel < image->channels; channel++) {
                const float *restrict from = image->pixels + channel * plane + (size_t)from_y * size + from_left;
                float *restrict to = image->spare + channel * plane + (size_t)y * size + left;
                if (wide == right - left)
                    memcpy(to, from, sizeof(float) * wide);
                else
                    for (int x = 0; x < right - left; x++) to[x] = from[(2 * x + 1) * wide / (2 * (right - left))];
            }
        }
    }
#undef EDGE
    swap(image);
}

#endif
