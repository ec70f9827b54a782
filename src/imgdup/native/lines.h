/* The weights of the lines of a grid along one axis of a picture: area averages, or PDQ samples.
 *
 * A line is a weighted mean of neighbouring blocks; a block is a pixel of the reduced picture.
 * Except on very long axes, the weights are whole numbers over a divisor, and so small that float
 * holds the sums of their products with 8-bit pixels exactly.
 */
#ifndef IMGDUP_LINES_H
#define IMGDUP_LINES_H

#include <stdint.h>

enum {
    MAX_LINES = 64,
    PDQ_BOXES = 128,     /* number of boxes of PDQ's filter along a side */
    PDQ_MIN_LENGTH = 5,  /* pixels; PDQ does not hash a shorter side */
    PDQ_WHOLE_BOX = 6,   /* pixels; longer boxes have no small whole numbers as weights */
    BOX_MULTIPLE = 60,   /* a multiple of every number up to PDQ_WHOLE_BOX */
    MAX_WHOLE = 65793,   /* largest sum of weights whose product with 255 float holds exactly */
    SPARE_WEIGHTS = 256, /* most weights of an axis beyond the number of its blocks */
};

/* One axis of a picture, in full pixels. */
typedef struct {
    int64_t length;
    int shift;        /* a block has 1 << shift pixels */
    int64_t overhang; /* pixels that the first block lacks */
} Axis;

typedef struct {
    int64_t first[MAX_LINES], n[MAX_LINES]; /* blocks */
    int64_t start[MAX_LINES];               /* of the weights of each line */
    double divisor[MAX_LINES];              /* the sum of the weights of each line */
    int whole;                              /* whether weights are whole numbers, see above */
    double *weights;                        /* as many as blocks, plus SPARE_WEIGHTS */
} Lines;

static inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline Axis axis_of(int64_t length, int reduction, int short_first) {
    Axis axis = {length, reduction == 8 ? 3 : reduction / 2, 0};
    if (short_first)
        axis.overhang = ((length + reduction - 1) >> axis.shift) * reduction - length;
    return axis;
}

/* Give line i the blocks that contain pixels low to high - 1; return where its weights begin. */
static inline double *begin_line(Lines *lines, Axis axis, int i, int64_t low, int64_t high) {
    lines->first[i] = (low + axis.overhang) >> axis.shift;
    int64_t stop = ((high + axis.overhang - 1) >> axis.shift) + 1;
    lines->n[i] = stop - lines->first[i];
    lines->start[i] = i ? lines->start[i - 1] + lines->n[i - 1] : 0;
    return lines->weights + lines->start[i];
}

/* Divide an axis equally; a weight of `n_lines` is a whole pixel. */
static void area_lines(Lines *lines, Axis axis, int n_lines) {
    int64_t length = axis.length, block = (int64_t)n_lines << axis.shift;
    int64_t low = 0, low_pixel = 0, low_rest = 0; /* low is n_lines * low_pixel + low_rest */
    int64_t step_pixels = length / n_lines, step_rest = length % n_lines;
    lines->whole = length <= MAX_WHOLE;
    for (int i = 0; i < n_lines; i++) {
        int64_t high = low + length, high_pixel = low_pixel + step_pixels;
        int64_t high_rest = low_rest + step_rest;
        if (high_rest >= n_lines) {
            high_pixel++;
            high_rest -= n_lines;
        }
        double *weights = begin_line(lines, axis, i, low_pixel, high_pixel + (high_rest > 0));
        int64_t left = lines->first[i] * block - axis.overhang * n_lines;
        for (int64_t k = 0; k < lines->n[i]; k++) {
            weights[k] = (double)(smaller(left + block, high) - larger(left, low));
            left += block;
        }
        lines->divisor[i] = (double)length;
        low = high;
        low_pixel = high_pixel;
        low_rest = high_rest;
    }
}

/* Compute the weights of PDQ's samples of an axis after two passes of its box filter.
 *
 * There is a box around each sample, and another box around each pixel of that box. Boxes end at
 * the ends of the axis, and each box is the mean of its content. So the weight of a pixel is a sum
 * of shares, one for each box that contains it. `slopes` has room for length / 64 + 4 numbers. */
static void pdq_lines(Lines *lines, Axis axis, double *slopes) {
    static const double whole_share[PDQ_WHOLE_BOX + 1] = {0, 60, 30, 20, 15, 12, 10};
    int64_t length = axis.length, box = (length + PDQ_BOXES - 1) / PDQ_BOXES;
    int64_t right = (box + 2) / 2 - 1, left = box - 1 - right;
    lines->whole = box <= PDQ_WHOLE_BOX;
    for (int i = 0; i < MAX_LINES; i++) {
        int64_t middle = (2 * i + 1) * length / (2 * MAX_LINES);
        int64_t first_box = larger(middle - left, 0), n_boxes;
        n_boxes = smaller(middle + right, length - 1) - first_box + 1;
        int64_t start = larger(first_box - left, 0);
        int64_t stop = smaller(first_box + n_boxes + right, length);
        double *weights = begin_line(lines, axis, i, start, stop), slope = 0;
        for (int64_t k = 0; k <= stop - start; k++)
            slopes[k] = 0;
        for (int64_t m = first_box; m < first_box + n_boxes; m++) {
            int64_t low = larger(m - left, 0), high = smaller(m + right + 1, length);
            double share = lines->whole ? whole_share[high - low]
                                        : 1 / ((double)(high - low) * (double)n_boxes);
            slopes[low - start] += share;
            slopes[high - start] -= share;
        }
        for (int64_t k = 0; k < lines->n[i]; k++)
            weights[k] = 0;
        for (int64_t k = 0; k < stop - start; k++) {
            slope += slopes[k];
            weights[((start + k + axis.overhang) >> axis.shift) - lines->first[i]] += slope;
        }
        lines->divisor[i] = lines->whole ? (double)(BOX_MULTIPLE * n_boxes) : 1;
    }
}

#endif
