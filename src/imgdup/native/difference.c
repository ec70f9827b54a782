/* Steps of the comparison of two pictures: sums from which a filter is fitted, blurs, and means over
 * windows and blocks. */
#include "imgdup.h"
#include "lanes.h"

#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    PRODUCTS = 5, /* from which a filter is fitted */
    FINE_REACH = 3,   /* pixels, of the blurs that are needed most */
    COARSE_REACH = 8,
    WHITE = 255,
    USUAL_SIDE = 4, /* pixels, of a block of luma; half of it for chroma */
    KEPT_BYTES = 32 << 20,
};

/* Copy some numbers into or out of a vector; the size of a whole one is a constant. */
static inline void copy(void *to, const void *from, const int64_t n_lanes) {
    if (n_lanes == WIDTH)
        memcpy(to, from, sizeof(Register));
    else
        memcpy(to, from, (size_t)n_lanes * sizeof(float));
}

/* Add up products over up to CHUNK pixels, each of two of x = fine - a, z = coarse - a and y = b - a: the
 * sums are those of xx, xz, zz, xy and zy. */
static void add_products(const float *a, const float *fine, const float *coarse, const float *b,
                         int64_t n, double totals[PRODUCTS][LANES]) {
    float part[PRODUCTS][LANES];
    memset(part, 0, sizeof part);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t n_lanes = n - i < LANES ? n - i : LANES;
        for (int64_t lane = 0; lane < n_lanes; lane++) {
            float level = a[i + lane];
            float x = fine[i + lane] - level, z = coarse[i + lane] - level;
            float y = b[i + lane] - level;
            part[0][lane] += x * x;
            part[1][lane] += x * z;
            part[2][lane] += z * z;
            part[3][lane] += x * y;
            part[4][lane] += z * y;
        }
    }
    for (int k = 0; k < PRODUCTS; k++)
        for (int lane = 0; lane < LANES; lane++)
            totals[k][lane] += (double)part[k][lane];
}

/* Add up the squared differences of up to CHUNK pixels. */
static void add_squares(const float *a, const float *b, int64_t n, double totals[LANES]) {
    Register sums[LANES / WIDTH] = {{0}};
    float part[LANES];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES / WIDTH; k++) {
            Register off = loaded(a + i + k * WIDTH) - loaded(b + i + k * WIDTH);
            sums[k] += off * off;
        }
    memcpy(part, sums, sizeof part);
    for (int lane = 0; i + lane < n; lane++)
        part[lane] += (a[i + lane] - b[i + lane]) * (a[i + lane] - b[i + lane]);
    for (int lane = 0; lane < LANES; lane++)
        totals[lane] += (double)part[lane];
}

static double sum_of(const double totals[LANES]) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += totals[lane];
    return sum;
}

/* Return the element at a distance beyond an end of a line, as in a mirror that stands on this end. */
static int64_t mirrored(int64_t i, int64_t n) {
    int64_t period = 2 * n - 2;
    i = llabs(i);
    if (i < n)
        return i;
    if (n == 1)
        return 0;
    i = i < period ? i : i % period; /* a division takes as long as many pixels */
    return i < n ? i : period - i;
}

/* Write n weighted means of numbers and of those before and after them, so far apart. Where the reach is
 * a constant, compilers keep the weights in registers. */
static inline void blur_along(const float *numbers, int64_t apart, const float *weights,
                              const int reach, int64_t n, float *restrict out) {
    for (int64_t x = 0; x < n; x++) {
        float sum = weights[0] * numbers[x];
        for (int k = 1; k <= reach; k++)
            sum += weights[k] * (numbers[x - k * apart] + numbers[x + k * apart]);
        out[x] = sum;
    }
}

/* The same of whole rows. */
static inline void blur_down(const float *const *before, const float *const *after,
                             const float *weights, const int reach, int64_t n,
                             float *restrict out) {
    for (int64_t x = 0; x < n; x++) {
        float sum = weights[0] * before[0][x];
        for (int k = 1; k <= reach; k++)
            sum += weights[k] * (before[k][x] + after[k][x]);
        out[x] = sum;
    }
}

/* Repeat the first and the last columns of a row beyond its ends, and blur it. */
static void blur_row(float *columns, int64_t width, int64_t channels, const float *weights,
                     int64_t reach, float *out) {
    int64_t n = width * channels;
    for (int64_t k = 1; k <= reach; k++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t right = mirrored(width - 1 + k, width);
            columns[c - k * channels] = columns[mirrored(k, width) * channels + c];
            columns[n + (k - 1) * channels + c] = columns[right * channels + c];
        }
    if (channels == 1 && reach == FINE_REACH)
        blur_along(columns, 1, weights, FINE_REACH, n, out);
    else if (channels == 1 && reach == COARSE_REACH)
        blur_along(columns, 1, weights, COARSE_REACH, n, out);
    else
        blur_along(columns, channels, weights, (int)reach, n, out);
}

/* Find the rows to either side of row y, mirrored at the edges; each has n numbers. */
static void find_rows(const float *plane, int64_t y, int64_t height, int64_t n, int64_t reach,
                      const float **before, const float **after) {
    for (int64_t k = 0; k <= reach; k++) {
        before[k] = plane + mirrored(y - k, height) * n;
        after[k] = plane + mirrored(y + k, height) * n;
    }
}

/* Blur row y of a plane. */
static void blur_at(const float *plane, int64_t y, int64_t height, int64_t width, int64_t channels,
                    const float *weights, int64_t reach, float *row, float *out) {
    const float *before[BLUR_REACH + 1], *after[BLUR_REACH + 1];
    int64_t n = width * channels;
    find_rows(plane, y, height, n, reach, before, after);
    float *columns = row + reach * channels;
    if (reach == FINE_REACH)
        blur_down(before, after, weights, FINE_REACH, n, columns);
    else
        blur_down(before, after, weights, (int)reach, n, columns);
    blur_row(columns, width, channels, weights, reach, out);
}

void imgdup_blur(const float *plane, int64_t height, int64_t width, int64_t channels,
                 const float *weights, int64_t reach, float *row, float *out) {
    for (int64_t y = 0; y < height; y++)
        blur_at(plane, y, height, width, channels, weights, reach, row, out + y * width * channels);
}

double imgdup_fine_detail(const float *plane, int64_t height, int64_t width, const float *weights,
                          int64_t reach, float *scratch) {
    float *row = scratch, *blurred = scratch + width + 2 * reach; /* what is not added up yet */
    double totals[LANES] = {0};
    int64_t n_left = 0, n_added = 0;
    for (int64_t y = 0; y < height; y++) {
        blur_at(plane, y, height, width, 1, weights, reach, row, blurred + n_left);
        int64_t n = n_left + width, start = 0;
        for (; n - start >= CHUNK || (y + 1 == height && start < n); start += CHUNK)
            add_squares(plane + n_added + start, blurred + start,
                        n - start < CHUNK ? n - start : CHUNK, totals);
        n_left = n - start;
        n_added += start;
        if (n_left > 0)
            memmove(blurred, blurred + start, (size_t)n_left * sizeof *blurred);
    }
    return sum_of(totals) / (double)(height * width);
}

void imgdup_blend(const float *a, const float *fine, const float *coarse, int64_t n,
                  const float *weights, float *blend) {
    float x = weights[0], y = weights[1], z = weights[2];
    for (int64_t i = 0; i < n; i++) {
        float level = a[i] * x + fine[i] * y + coarse[i] * z;
        level = level > 0 ? level : 0;
        blend[i] = level < WHITE ? level : WHITE;
    }
}

/* Blur up to WIDTH columns of a row twice: `before` and `after` hold, for each weight, the rows to
 * either side. */
static inline void blur_columns(const float *const *before, const float *const *after,
                                const float *const weights[2], const int fine_reach,
                                const int coarse_reach, int64_t x, const int64_t n_lanes,
                                float *const rows[2]) {
    Register here = {0};
    copy(&here, before[0] + x, n_lanes);
    Register fine = weights[0][0] * here, coarse = weights[1][0] * here;
    for (int k = 1; k <= coarse_reach; k++) {
        Register both = {0}, others = {0};
        copy(&both, before[k] + x, n_lanes);
        copy(&others, after[k] + x, n_lanes);
        both += others;
        if (k <= fine_reach)
            fine += weights[0][k] * both;
        coarse += weights[1][k] * both;
    }
    copy(rows[0] + x, &fine, n_lanes);
    copy(rows[1] + x, &coarse, n_lanes);
}

/* Blur all columns of a row twice; some of the last ones may be blurred again. Where the reaches are
 * constants, compilers keep sums and weights in registers. */
static inline void blur_both(const float *const *before, const float *const *after,
                             const ImgdupBlurs *blurs, const int fine_reach,
                             const int coarse_reach, int64_t width, float *const rows[2]) {
    float fine[BLUR_REACH + 1], coarse[BLUR_REACH + 1];
    const float *weights[] = {fine, coarse};
    memcpy(fine, blurs->fine, (size_t)(fine_reach + 1) * sizeof *fine);
    memcpy(coarse, blurs->coarse, (size_t)(coarse_reach + 1) * sizeof *coarse);
    if (width < WIDTH) {
        blur_columns(before, after, weights, fine_reach, coarse_reach, 0, width, rows);
        return;
    }
    for (int64_t x = 0; x + WIDTH <= width; x += WIDTH)
        blur_columns(before, after, weights, fine_reach, coarse_reach, x, WIDTH, rows);
    if (width % WIDTH)
        blur_columns(before, after, weights, fine_reach, coarse_reach, width - WIDTH, WIDTH, rows);
}

/* Blur a plane twice, and add up the products from which a filter is fitted. */
static void blur_twice(const float *a, const float *b, int64_t height, int64_t width,
                       const ImgdupBlurs *blurs, float *fine, float *coarse, float *scratch,
                       double sums[PRODUCTS]) {
    const float *before[BLUR_REACH + 1], *after[BLUR_REACH + 1];
    double totals[PRODUCTS][LANES];
    int64_t start = 0, n = 0, fine_reach = blurs->fine_reach, reach = blurs->coarse_reach;
    float *rows[] = {scratch + fine_reach, scratch + width + 2 * fine_reach + reach};
    memset(totals, 0, sizeof totals);
    for (int64_t y = 0; y < height; y++) {
        find_rows(a, y, height, width, reach, before, after);
        if (fine_reach == FINE_REACH && reach == COARSE_REACH)
            blur_both(before, after, blurs, FINE_REACH, COARSE_REACH, width, rows);
        else
            blur_both(before, after, blurs, (int)fine_reach, (int)reach, width, rows);
        blur_row(rows[0], width, 1, blurs->fine, fine_reach, fine + n);
        blur_row(rows[1], width, 1, blurs->coarse, reach, coarse + n);
        n += width;
        for (; n - start >= CHUNK; start += CHUNK)
            add_products(a + start, fine + start, coarse + start, b + start, CHUNK, totals);
    }
    add_products(a + start, fine + start, coarse + start, b + start, n - start, totals);
    for (int k = 0; k < PRODUCTS; k++)
        sums[k] = sum_of(totals[k]);
}

double imgdup_fit_filter(const float *a, const float *b, int64_t height, int64_t width,
                         const ImgdupBlurs *blurs, float *planes, float *fitted, double found[2]) {
    int64_t n = height * width;
    float *fine = planes, *coarse = planes + n;
    double sums[PRODUCTS], damping = blurs->damping * (double)n, totals[LANES] = {0};
    blur_twice(a, b, height, width, blurs, fine, coarse, planes + 2 * n, sums);
    double xx = sums[0] + damping, xz = sums[1], zz = sums[2] + damping;
    double determinant = xx * zz - xz * xz; /* above 0: no damped product is singular */
    found[0] = (sums[3] * zz - xz * sums[4]) / determinant;
    found[1] = (xx * sums[4] - xz * sums[3]) / determinant;
    float x = (float)found[0], z = (float)found[1], weights[] = {1 - x - z, x, z};
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t n_part = n - i < CHUNK ? n - i : CHUNK;
        imgdup_blend(a + i, fine + i, coarse + i, n_part, weights, fitted + i);
        add_squares(fitted + i, b + i, n_part, totals);
    }
    return sum_of(totals) / (double)n;
}

/* Write the sums over some rows of up to WIDTH columns, of what `imgdup_block_moments` averages. */
static inline void add_columns(const float *a, const float *b, int64_t n_rows, int64_t width,
                               const int64_t n_lanes, float *columns) {
    Register sum_a = {0}, sum_b = {0}, sum_aa = {0}, sum_bb = {0}, sum_ab = {0}, sum_dd = {0};
    for (int64_t y = 0; y < n_rows; y++) {
        Register p = {0}, q = {0};
        copy(&p, a + y * width, n_lanes);
        copy(&q, b + y * width, n_lanes);
        sum_a += p;
        sum_b += q;
        sum_aa += p * p;
        sum_bb += q * q;
        sum_ab += p * q;
        sum_dd += (q - p) * (q - p);
    }
    copy(columns, &sum_a, n_lanes);
    copy(columns + width, &sum_b, n_lanes);
    copy(columns + 2 * width, &sum_aa, n_lanes);
    copy(columns + 3 * width, &sum_bb, n_lanes);
    copy(columns + 4 * width, &sum_ab, n_lanes);
    copy(columns + 5 * width, &sum_dd, n_lanes);
}

/* Write these sums for all columns; some of the last ones may be added up twice. */
static void add_rows(const float *a, const float *b, int64_t n_rows, int64_t width,
                     float *columns) {
    if (width < WIDTH) {
        add_columns(a, b, n_rows, width, width, columns);
        return;
    }
    for (int64_t x = 0; x + WIDTH <= width; x += WIDTH)
        add_columns(a + x, b + x, n_rows, width, WIDTH, columns + x);
    if (width % WIDTH) {
        int64_t x = width - WIDTH;
        add_columns(a + x, b + x, n_rows, width, WIDTH, columns + x);
    }
}

/* Write the means of blocks from the sums of their columns; the last block begins earlier if it is not
 * whole. Where the side is a constant, compilers work on several blocks at a time. */
static inline void average(const float *sums, int64_t width, int64_t side, int64_t height,
                           float *means) {
    int64_t n_whole = width / side;
    for (int64_t i = 0; i < n_whole; i++) {
        float sum = 0;
        for (int64_t x = 0; x < side; x++)
            sum += sums[i * side + x];
        means[i] = sum / (float)(side * height);
    }
    if (width % side) {
        int64_t first = width > side ? width - side : 0;
        float sum = 0;
        for (int64_t x = first; x < width; x++)
            sum += sums[x];
        means[n_whole] = sum / (float)((width - first) * height);
    }
}

void imgdup_block_moments(const float *a, const float *b, int64_t height, int64_t width,
                          int64_t side, float *columns, float *moments) {
    int64_t n_rows = (height + side - 1) / side, n_columns = (width + side - 1) / side;
    int64_t block_height = side < height ? side : height;
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t top = row * side, lowest = height - block_height;
        top = top < lowest ? top : lowest;
        add_rows(a + top * width, b + top * width, block_height, width, columns);
        for (int k = 0; k < DIFFERENCE_MOMENTS; k++) {
            float *means = moments + (k * n_rows + row) * n_columns;
            if (side == USUAL_SIDE)
                average(columns + k * width, width, USUAL_SIDE, block_height, means);
            else if (side == USUAL_SIDE / 2)
                average(columns + k * width, width, USUAL_SIDE / 2, block_height, means);
            else
                average(columns + k * width, width, side, block_height, means);
        }
    }
}

void imgdup_level_moments(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width,
                          int64_t side, int64_t n_rows, int64_t n_columns, float *scratch,
                          float *moments) {
    int64_t n = height * width, own_rows = (height + side - 1) / side;
    int64_t own_columns = (width + side - 1) / side;
    float *p = scratch, *q = p + n, *columns = q + n, *blocks = columns + DIFFERENCE_MOMENTS * width;
    for (int64_t i = 0; i < n; i++) {
        p[i] = a[i];
        q[i] = b[i];
    }
    imgdup_block_moments(p, q, height, width, side, columns, blocks);
    for (int64_t row = 0; row < DIFFERENCE_MOMENTS * n_rows; row++, moments += n_columns) {
        int64_t y = row % n_rows < own_rows ? row % n_rows : own_rows - 1;
        const float *from = blocks + (row / n_rows * own_rows + y) * own_columns;
        for (int64_t x = 0; x < n_columns; x++)
            moments[x] = from[x < own_columns ? x : own_columns - 1];
    }
}

/* The sum of four numbers that are so far apart. */
static inline double add_four(const double *numbers, int64_t apart) {
    return (numbers[0] + numbers[apart]) + (numbers[2 * apart] + numbers[3 * apart]);
}

/* Write the means over `side` neighbours in each row of the sums of columns; `sums` is as long. */
static void add_neighbours(const double *columns, int64_t width, int64_t side, double scale,
                           double *sums, float *out) {
    const double *from = columns;
    int64_t apart = 1;
    for (; side > 4 * apart; apart *= 4, from = sums) /* in place from the second time on */
        for (int64_t x = 0; x < width + side - 4 * apart; x++)
            sums[x] = add_four(from + x, apart);
    if (side == 4 * apart)
        for (int64_t x = 0; x < width; x++)
            out[x] = (float)(add_four(from + x, apart) * scale);
    else if (side == 2 * apart)
        for (int64_t x = 0; x < width; x++)
            out[x] = (float)((from[x] + from[x + apart]) * scale);
    else
        for (int64_t x = 0; x < width; x++)
            out[x] = (float)(from[x] * scale);
}

void imgdup_window_means(const float *planes, int64_t n_planes, int64_t height, int64_t width,
                         int64_t side, double *scratch, float *means) {
    int64_t before = side / 2, after = side - 1 - before, n = width + side - 1;
    double *row = scratch, *columns = row + before, *sums = row + n, scale = 1 / (double)(side * side);
    for (int64_t p = 0; p < n_planes; p++) {
        const float *plane = planes + p * height * width;
        float *out = means + p * height * width;
        memset(columns, 0, (size_t)width * sizeof *columns);
        for (int64_t i = -before; i <= after; i++) {
            const float *line = plane + (i < 0 ? 0 : i < height ? i : height - 1) * width;
            for (int64_t x = 0; x < width; x++)
                columns[x] += (double)line[x];
        }
        for (int64_t y = 0; y < height; y++) {
            for (int64_t x = 0; x < before; x++)
                row[x] = columns[0];
            for (int64_t x = width; x < width + after; x++)
                columns[x] = columns[width - 1];
            add_neighbours(row, width, side, scale, sums, out + y * width);
            int64_t first = y < before ? 0 : y - before, next = y + after + 1;
            const float *old = plane + first * width;
            const float *new = plane + (next < height ? next : height - 1) * width;
            for (int64_t x = 0; x < width; x++)
                columns[x] += (double)new[x] - (double)old[x];
        }
    }
}

void imgdup_keep_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}
