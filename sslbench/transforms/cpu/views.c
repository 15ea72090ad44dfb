/* Views of packed pictures on a CPU: box, resize, operations and output of one picture after the other.
 *
 * A picture is worked on from its bytes to its place in the batch while it lies in a core's cache: at 224 px it is
 * 600 KB of float32, planar. Each operation is one function (moves.h, color.h, blur.h) with a line in OPERATIONS;
 * its class in Python (sslbench/transforms/ops) says which numbers it is given. To add one, see
 * docs/add-a-transform.md.
 *
 * Plain loops, written so that gcc and clang make vector instructions of them; in two places the vectors that both
 * know (vector_size). No picture reads another, so neither the number of threads nor the cut of a batch changes a bit.
 */

#if defined(__linux__)
#define _DEFAULT_SOURCE /* for madvise */
#include <sys/mman.h>
#endif

#include "blur.h"
#include "color.h"
#include "image.h"
#include "moves.h"
#include "resize.h"

/* ---- Output ----------------------------------------------------------------------------------------------------- */

/* means of the three channels, then their standard deviations */
static void normalize(Image *image, const double *values) {
    const size_t plane = (size_t)image->size * image->size;
    for (int channel = 0; channel < 3; channel++) {
        const float mean = (float)values[channel], deviation = (float)values[3 + channel];
        float *restrict pixels = image->pixels + channel * plane;
        for (size_t i = 0; i < plane; i++) pixels[i] = (pixels[i] - mean) / deviation;
    }
}

static inline uint16_t bfloat16(float value) { /* to the nearest, ties to even */
    uint32_t bits;
    if (value != value) return 0x7fc0;
    memcpy(&bits, &value, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The image normalised by `values` (as above) into its place in the batch. */
static void put(const Image *image, const double *values, void *out, int short_floats, int channels_last) {
    const size_t plane = (size_t)image->size * image->size;
    const float m0 = (float)values[0], m1 = (float)values[1], m2 = (float)values[2];
    const float s0 = (float)values[3], s1 = (float)values[4], s2 = (float)values[5];
    const float *restrict red = image->pixels, *restrict green = red + plane, *restrict blue = green + plane;
#define PUT(TYPE, CONVERT, STEP, NEXT)                                \
    {                                                                 \
        TYPE *restrict to = out;                                      \
        for (size_t i = 0; i < plane; i++) {                          \
            to[STEP * i] = CONVERT((red[i] - m0) / s0);               \
            to[STEP * i + NEXT] = CONVERT((green[i] - m1) / s1);      \
            to[STEP * i + 2 * NEXT] = CONVERT((blue[i] - m2) / s2);   \
        }                                                             \
    }
    if (short_floats && channels_last) PUT(uint16_t, bfloat16, 3, 1)
    else if (short_floats) PUT(uint16_t, bfloat16, 1, plane)
    else if (channels_last) PUT(float, , 3, 1)
    else PUT(float, , 1, plane)
#undef PUT
}

/* ---- The chain --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*change)(Image *, const double *);
    int moves; /* whether it moves pixels, and so applies to locations too */
} OPERATIONS[] = {
    {"horizontal_flip", horizontal_flip, 1},
    {"vertical_flip", vertical_flip, 1},
    {"rotate_90", rotate_90, 1},
    {"rotate", rotate, 1},
    {"rotate_square", rotate_square, 1},
    {"region_confusion", region_confusion, 1},
    {"color_jitter", color_jitter, 0},
    {"grayscale", grayscale, 0},
    {"solarize", solarize, 0},
    {"gaussian_blur", gaussian_blur, 0},
    {"normalize", normalize, 0},
};

typedef struct {
    int32_t operation, columns;
    const uint8_t *fired;  /* [n], or NULL where it always acts */
    const double *rows;    /* [n, columns]: what the operation reads */
} Step;

typedef struct {
    const uint8_t *buffer;  /* the packed pictures, or NULL: take `images` as they are */
    const Box *boxes;       /* [n] */
    const float *images;    /* [n, 3, size, size] */
    void *out;              /* [n, 3, size, size], float32 or bfloat16, planar or with channels last */
    float *locations;       /* [n, 2, size, size], or NULL where nobody asks */
    const Step *steps;
    int32_t count, size, short_floats, channels_last;
} Job;

/* The position of an operation in OPERATIONS, or -1. */
int views_operation(const char *name) {
    for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++)
        if (!strcmp(OPERATIONS[i].name, name)) return (int)i;
    return -1;
}

/* Ask for large pages under a new batch: the system clears and maps it several times faster than page by page. */
void views_large_pages(void *start, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
    const uintptr_t page = 4096, first = ((uintptr_t)start + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)start + (uintptr_t)bytes) / page * page;
    if (end > first) madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}

static int fires(const Step *step, int64_t i) { return !step->fired || step->fired[i]; }

static int is(const Step *step, void (*change)(Image *, const double *)) {
    return OPERATIONS[step->operation].change == change;
}

/* (y, x) in its picture of every pixel of the crop; the centre of pixel k lies at k. */
static void locate(const Box *box, Image *image) {
    const int size = image->size;
    const size_t plane = (size_t)size * size;
    for (int x = 0; x < size; x++) image->pixels[plane + x] = (float)(box->left + (x + 0.5) / size * box->width - 0.5);
    for (int y = 0; y < size; y++) {
        const float here = (float)(box->top + (y + 0.5) / size * box->height - 0.5);
        float *restrict row = image->pixels + (size_t)y * size;
        for (int x = 0; x < size; x++) row[x] = here;
        if (y) memcpy(row + plane, image->pixels + plane, sizeof(float) * size);
    }
}

/* Pictures `first` to `last` - 1 of a job. 0, or -1 where memory runs out. */
int views_make(const Job *job, int64_t first, int64_t last) {
    const int size = job->size;
    const size_t plane = (size_t)size * size, room = (3 * plane + 15) / 16 * 16;
    float *memory = aligned_alloc(64, 2 * room * sizeof(float));
    int failed = !memory;
    for (int64_t i = first; i < last && !failed; i++) {
        Image image = {.channels = 3, .size = size, .pixels = memory, .spare = memory + room};
        const double *usual = (const double[]){0, 0, 0, 1, 1, 1}; /* changes no bit */
        int from = 0, to = job->count;
        if (job->buffer) { /* flips that come first cost nothing in the crop */
            int mirror_x = 0, mirror_y = 0;
            for (; from < to; from++) {
                if (is(job->steps + from, horizontal_flip)) mirror_x ^= fires(job->steps + from, i);
                else if (is(job->steps + from, vertical_flip)) mirror_y ^= fires(job->steps + from, i);
                else break;
            }
            failed = crop(job->buffer, job->boxes + i, &image, mirror_x, mirror_y);
        } else {
            memcpy(image.pixels, job->images + 3 * plane * i, 3 * plane * sizeof(float));
        }
        if (to > from && is(job->steps + to - 1, normalize)) { /* done with the output */
            to--;
            usual = job->steps[to].rows + job->steps[to].columns * i;
        }
        for (int k = from; k < to && !failed; k++)
            if (fires(job->steps + k, i))
                OPERATIONS[job->steps[k].operation].change(&image, job->steps[k].rows + job->steps[k].columns * i);
        if (failed) break;
        put(&image, usual, (char *)job->out + 3 * plane * i * (job->short_floats ? 2 : 4), job->short_floats,
            job->channels_last);

        if (job->locations) {
            Image places = {.channels = 2, .size = size, .edge = 1, .pixels = memory, .spare = memory + room};
            locate(job->boxes + i, &places);
            for (int k = 0; k < job->count; k++)
                if (OPERATIONS[job->steps[k].operation].moves && fires(job->steps + k, i))
                    OPERATIONS[job->steps[k].operation].change(&places, job->steps[k].rows + job->steps[k].columns * i);
            memcpy(job->locations + 2 * plane * i, places.pixels, 2 * plane * sizeof(float));
        }
    }
    free(memory);
    return failed ? -1 : 0;
}
