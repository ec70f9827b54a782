/* Windows of two pictures that have structure: how many there are, and how many of them agree. */
#include "imgdup.h"
#include "lanes.h"

#include <string.h>

/* The planes of moments, as `imgdup_block_moments` writes them, but for the last one. */
enum { A, B, AA, BB, AB, N_PLANES };
enum { USUAL_SIDE = 4 };

static float larger(float a, float b) {
    return a > b ? a : b;
}

/* Write the larger variance of each window; return their mean. */
static double write_textures(const float *moments, int64_t n, float *textures) {
    const float *a = moments + A * n, *b = moments + B * n;
    const float *aa = moments + AA * n, *bb = moments + BB * n;
    double totals[LANES] = {0}, total = 0;
    for (int64_t i = 0; i < n; i++)
        textures[i] = larger(0, larger(aa[i] - a[i] * a[i], bb[i] - b[i] * b[i]));
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t n_lanes = n - i < LANES ? n - i : LANES;
        for (int64_t lane = 0; lane < n_lanes; lane++)
            totals[lane] += (double)textures[i + lane];
    }
    for (int lane = 0; lane < LANES; lane++)
        total += totals[lane];
    return total / (double)n;
}

void imgdup_count_agreeing(const float *moments, int64_t n, const ImgdupAgreement *rules,
                           float *textures, int64_t counts[2]) {
    const float *a = moments + A * n, *b = moments + B * n;
    const float *aa = moments + AA * n, *bb = moments + BB * n, *ab = moments + AB * n;
    double share = rules->mean_share * write_textures(moments, n, textures);
    float least = (float)(share > rules->least ? share : rules->least);
    float correlated = rules->correlated, floor = rules->floor;
    int32_t structured = 0, agreeing = 0; /* as wide as float, for vectors */
    for (int64_t i = 0; i < n; i++) {
        float va = larger(0, aa[i] - a[i] * a[i]), vb = larger(0, bb[i] - b[i] * b[i]);
        float covariance = ab[i] - a[i] * b[i];
        int32_t has_structure = textures[i] > least;
        int32_t agrees = covariance * covariance / (va * vb + floor) > correlated;
        structured += has_structure;
        agreeing += has_structure & agrees;
    }
    counts[0] = structured;
    counts[1] = agreeing;
}

/* Add up some rows of each column: both levels, their squares, and their product. */
static inline void add_rows(const uint8_t *a, const uint8_t *b, const int64_t n_rows,
                            int64_t width, int32_t *restrict sums) {
    for (int64_t x = 0; x < width; x++) {
        int32_t sum_a = 0, sum_b = 0, sum_aa = 0, sum_bb = 0, sum_ab = 0;
        for (int64_t y = 0; y < n_rows; y++) {
            uint16_t p = a[y * width + x], q = b[y * width + x];
            sum_a += p;
            sum_b += q;
            sum_aa += (uint16_t)(p * p);
            sum_bb += (uint16_t)(q * q);
            sum_ab += (uint16_t)(p * q);
        }
        sums[A * width + x] = sum_a;
        sums[B * width + x] = sum_b;
        sums[AA * width + x] = sum_aa;
        sums[BB * width + x] = sum_bb;
        sums[AB * width + x] = sum_ab;
    }
}

/* Add up the columns of each block; the last one begins earlier if it is not whole. */
static inline void add_columns(const int32_t *columns, int64_t width, const int64_t side,
                               int32_t *restrict sums) {
    int64_t n_whole = width / side;
    for (int64_t i = 0; i < n_whole; i++) {
        int32_t sum = 0;
        for (int64_t x = 0; x < side; x++)
            sum += columns[i * side + x];
        sums[i] = sum;
    }
    if (width % side) {
        int32_t sum = 0;
        for (int64_t x = width > side ? width - side : 0; x < width; x++)
            sum += columns[x];
        sums[n_whole] = sum;
    }
}

/* Write the sums of a row of blocks, n_rows pixels high (N_PLANES, ...), so many numbers apart. */
static void add_blocks(const uint8_t *a, const uint8_t *b, int64_t n_rows, int64_t width,
                       int64_t side, int64_t apart, int32_t *columns, int32_t *sums) {
    if (n_rows == USUAL_SIDE)
        add_rows(a, b, USUAL_SIDE, width, columns);
    else
        add_rows(a, b, n_rows, width, columns);
    for (int k = 0; k < N_PLANES; k++) {
        if (side == USUAL_SIDE)
            add_columns(columns + k * width, width, USUAL_SIDE, sums + k * apart);
        else
            add_columns(columns + k * width, width, side, sums + k * apart);
    }
}

/* Write the sums of windows of a row, times a share, from the sums of their columns. */
static inline void add_windows(const int32_t *columns, int64_t n, const int64_t side, float share,
                               float *restrict out) {
    for (int64_t x = 0; x < n; x++) {
        int32_t sum = 0;
        for (int64_t k = 0; k < side; k++)
            sum += columns[x + k];
        out[x] = (float)sum * share;
    }
}

/* Write the means in windows of side x side blocks, from the sums of blocks; edges are repeated. */
static void write_windows(const int32_t *blocks, int64_t height, int64_t width, int64_t side,
                          float share, int32_t *row, float *out) {
    int64_t before = side / 2, after = side - 1 - before;
    int32_t *columns = row + before;
    memset(columns, 0, (size_t)width * sizeof *columns);
    for (int64_t i = -before; i <= after; i++) {
        const int32_t *line = blocks + (i < 0 ? 0 : i < height ? i : height - 1) * width;
        for (int64_t x = 0; x < width; x++)
            columns[x] += line[x];
    }
    for (int64_t y = 0; y < height; y++, out += width) {
        for (int64_t x = 0; x < before; x++)
            row[x] = columns[0];
        for (int64_t x = width; x < width + after; x++)
            columns[x] = columns[width - 1];
        if (side == USUAL_SIDE)
            add_windows(row, width, USUAL_SIDE, share, out);
        else
            add_windows(row, width, side, share, out);
        int64_t next = y + after + 1;
        const int32_t *old = blocks + (y < before ? 0 : y - before) * width;
        const int32_t *new = blocks + (next < height ? next : height - 1) * width;
        for (int64_t x = 0; x < width; x++)
            columns[x] += new[x] - old[x];
    }
}

void imgdup_agreement(const uint8_t *first, const uint8_t *second, int64_t height, int64_t width,
                      int64_t block, int64_t window, const ImgdupAgreement *rules, int32_t *sums,
                      float *means, int64_t counts[2]) {
    int64_t n_rows = (height + block - 1) / block, n_columns = (width + block - 1) / block;
    int64_t n = n_rows * n_columns, high = block < height ? block : height;
    int64_t wide = block < width ? block : width;
    int32_t *blocks = sums, *rest = sums + N_PLANES * n;
    float share = 1 / (float)(high * wide * window * window);
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t top = row * block < height - high ? row * block : height - high;
        add_blocks(first + top * width, second + top * width, high, width, block, n, rest,
                   blocks + row * n_columns);
    }
    for (int k = 0; k < N_PLANES; k++)
        write_windows(blocks + k * n, n_rows, n_columns, window, share, rest, means + k * n);
    imgdup_count_agreeing(means, n, rules, means + N_PLANES * n, counts);
}
