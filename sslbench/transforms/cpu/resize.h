/* A box of a packed picture, resized: bit by bit torch's antialiased bilinear kernel for uint8.
 *
 * First along rows, then along columns, with weights in whole numbers of `bits` binary places and a rounding to whole
 * levels after each. The triangle is as wide as the output pixel where the picture shrinks, and as the input pixel
 * where it grows. Weights are positive and sum to 1 within 1/510, so no sum leaves 0..255. */
#ifndef SSLBENCH_RESIZE_H
#define SSLBENCH_RESIZE_H

#include "image.h"

typedef struct {
    int bits, stride;     /* binary places of the weights; room per output pixel */
    int *first, *count;   /* [size]: the input pixels of each output pixel */
    int32_t *weights;     /* [size, stride] */
    double *shares;       /* the same before rounding */
} Taps;

static int taps_per_pixel(int length, int size) {
    double scale = (double)length / size;
    return 2 * (int)ceil(scale > 1 ? scale : 1) + 1;
}

static void make_taps(Taps *taps, int length, int size) {
    const double scale = (double)length / size, support = scale > 1 ? scale : 1, narrower = scale > 1 ? 1 / scale : 1;
    double largest = 0;
    taps->stride = taps_per_pixel(length, size);
    for (int i = 0; i < size; i++) {
        const double centre = scale * (i + 0.5);
        const int low = (int)(centre - support + 0.5), begin = low > 0 ? low : 0;
        const int count = least((int)(centre + support + 0.5), length) - begin;
        double *shares = taps->shares + (size_t)i * taps->stride, total = 0;
        for (int j = 0; j < count; j++) {
            const double distance = fabs((j + begin - centre + 0.5) * narrower);
            shares[j] = distance < 1 ? 1 - distance : 0;
            total += shares[j];
        }
        for (int j = 0; j < count; j++) {
            shares[j] /= total;
            largest = shares[j] > largest ? shares[j] : largest;
        }
        taps->first[i] = begin;
        taps->count[i] = count;
    }
    for (taps->bits = 0; taps->bits < 22; taps->bits++)
        if ((int)(0.5 + largest * (1 << (taps->bits + 1))) >= 1 << 15) break;
    for (int i = 0; i < size; i++) {
        const double *shares = taps->shares + (size_t)i * taps->stride;
        int32_t *weights = taps->weights + (size_t)i * taps->stride;
        for (int j = 0; j < taps->count[i]; j++) weights[j] = (int32_t)(0.5 + shares[j] * (1 << taps->bits));
        while (taps->count[i] > 1 && weights[taps->count[i] - 1] == 0) taps->count[i]--;
    }
}

typedef int32_t Four __attribute__((vector_size(16)));
typedef uint8_t FourBytes __attribute__((vector_size(4)));

/* One row of `length` pixels RGB to `size` pixels RGB0, written from the right where `mirrored`. */
static void resize_row(const uint8_t *restrict row, Four *restrict wide, uint32_t *restrict out, int length, int size,
                       const Taps *taps, int mirrored) {
    for (int x = 0; x < length; x++) wide[x] = (Four){row[3 * x], row[3 * x + 1], row[3 * x + 2], 0};
    const int32_t half = 1 << (taps->bits - 1);
    for (int x = 0; x < size; x++) {
        const int32_t *weights = taps->weights + (size_t)x * taps->stride;
        const Four *from = wide + taps->first[x];
        Four sum = {half, half, half, half};
        for (int j = 0; j < taps->count[x]; j++) sum += from[j] * weights[j];
        const FourBytes levels = __builtin_convertvector(sum >> taps->bits, FourBytes);
        memcpy(out + (mirrored ? size - 1 - x : x), &levels, 4);
    }
}

/* One row of the view from rows of RGB0: float32 levels / 255, planar. `sums` is [3, size]. */
static void resize_column(const uint32_t *restrict rows, int32_t *restrict sums, float *restrict out, int size,
                          const int32_t *restrict weights, int count, int bits) {
    int32_t *restrict red = sums, *restrict green = sums + size, *restrict blue = sums + 2 * size;
    const size_t plane = (size_t)size * size;
    for (int x = 0; x < 3 * size; x++) sums[x] = 1 << (bits - 1);
    for (int j = 0; j < count; j++) {
        const uint32_t *restrict row = rows + (size_t)j * size;
        const int32_t weight = weights[j];
        for (int x = 0; x < size; x++) {
            red[x] += weight * (int32_t)(row[x] & 255);
            green[x] += weight * (int32_t)(row[x] >> 8 & 255);
            blue[x] += weight * (int32_t)(row[x] >> 16 & 255);
        }
    }
    for (int x = 0; x < size; x++) {
        out[x] = (float)(red[x] >> bits) / 255.0f;
        out[x + plane] = (float)(green[x] >> bits) / 255.0f;
        out[x + 2 * plane] = (float)(blue[x] >> bits) / 255.0f;
    }
}

typedef struct {
    int64_t offset, across;            /* where the picture begins in the buffer, bytes; its width, px */
    int64_t top, left, height, width;  /* the box, px */
} Box;

/* The box resized into image->pixels, mirrored as asked; -1 where memory runs out. */
static int crop(const uint8_t *buffer, const Box *box, Image *image, int mirror_x, int mirror_y) {
    const int size = image->size, height = (int)box->height, width = (int)box->width;
    const int across = taps_per_pixel(width, size), down = taps_per_pixel(height, size);
    const size_t room = (size_t)size * (across > down ? across : down);
    const size_t bytes = sizeof(Four) * width + room * (sizeof(double) + sizeof(int32_t)) +
                         sizeof(int32_t) * size * (2 + 3 + (size_t)height);
    char *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) return -1;
    Four *wide = (Four *)memory;
    Taps taps = {.shares = (double *)(wide + width)};
    taps.weights = (int32_t *)(taps.shares + room);
    taps.first = (int *)(taps.weights + room);
    taps.count = taps.first + size;
    int32_t *sums = (int32_t *)(taps.count + size);
    uint32_t *narrow = (uint32_t *)(sums + 3 * size); /* [height, size] */

    make_taps(&taps, width, size);
    for (int y = 0; y < height; y++) {
        const uint8_t *row = buffer + box->offset + 3 * ((box->top + y) * box->across + box->left);
        resize_row(row, wide, narrow + (size_t)y * size, width, size, &taps, mirror_x);
    }
    make_taps(&taps, height, size);
    for (int y = 0; y < size; y++) {
        float *out = image->pixels + (size_t)size * (mirror_y ? size - 1 - y : y);
        resize_column(narrow + (size_t)taps.first[y] * size, sums, out, size, taps.weights + (size_t)y * taps.stride,
                      taps.count[y], taps.bits);
    }
    free(memory);
    return 0;
}

#endif
