/* Steps of the comparison of two pictures: sums from which a filter, a movement or a tone curve is
 * fitted, means over blocks, and pictures of a smaller size. */
#include "imgdup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    LANES = 16,   /* independent sums of a vector */
    CHUNK = 1024, /* pixels whose products are added in float, before the sums are added in double */
    FINE_REACH = 3,   /* pixels, of the blurs that are needed most */
    COARSE_REACH = 8,
    LEVELS = 256,
    TABLES = 4, /* to count levels in */
    WHITE = 255,
    LEAST_SPREAD = 4, /* levels */
    USUAL_SIDE = 4, /* pixels, of a block of luma; half of it for chroma */
    KEPT_BYTES = 32 << 20,
    RGB = 3, /* channels */
    ROWS_AT_ONCE = 4,
    QUOTIENTS = 64, /* pixels whose sums are divided at once */
    MOST_CHANNELS = 4,
};

typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));

/* Copy some numbers into or out of a vector; the size of a whole one is a constant. */
static void copy(void *to, const void *from, int64_t n_lanes) {
    if (n_lanes == LANES)
        memcpy(to, from, sizeof(Vector));
    else
        memcpy(to, from, (size_t)n_lanes * sizeof(float));
}

void imgdup_filter_sums(const float *a, const float *fine, const float *coarse, const float *b,
                        int64_t n, double *sums) {
    double totals[DIFFERENCE_SUMS][LANES];
    memset(totals, 0, sizeof totals);
    for (int64_t start = 0; start < n; start += CHUNK) {
        float part[DIFFERENCE_SUMS][LANES];
        memset(part, 0, sizeof part);
        int64_t stop = n - start < CHUNK ? n : start + CHUNK;
        for (int64_t i = start; i < stop; i += LANES) {
            int64_t n_lanes = stop - i < LANES ? stop - i : LANES;
            for (int64_t lane = 0; lane < n_lanes; lane++) {
                float level = a[i + lane];
                float x = fine[i + lane] - level, z = coarse[i + lane] - level;
                float y = b[i + lane] - level;
                part[0][lane] += x * x;
                part[1][lane] += x * z;
                part[2][lane] += z * z;
                part[3][lane] += x;
                part[4][lane] += z;
                part[5][lane] += x * y;
                part[6][lane] += z * y;
                part[7][lane] += y;
            }
        }
        for (int k = 0; k < DIFFERENCE_SUMS; k++)
            for (int lane = 0; lane < LANES; lane++)
                totals[k][lane] += (double)part[k][lane];
    }
    for (int k = 0; k < DIFFERENCE_SUMS; k++) {
        sums[k] = 0;
        for (int lane = 0; lane < LANES; lane++)
            sums[k] += totals[k][lane];
    }
}

/* Return the element at a distance beyond an end of a line, as in a mirror that stands on this end. */
static int64_t mirrored(int64_t i, int64_t n) {
    if (n == 1)
        return 0;
    i = llabs(i) % (2 * n - 2);
    return i < n ? i : 2 * n - 2 - i;
}

/* Write n weighted means of neighbours in a direction: `before` and `after` hold, for each weight, the
 * numbers so far to either side. Where the reach is a constant, compilers keep the sums in registers. */
static inline void blur_line(const float *const *before, const float *const *after,
                             const float *weights, const int reach, int64_t n,
                             float *restrict out) {
    for (int64_t x = 0; x < n; x++) {
        float sum = weights[0] * before[0][x];
        for (int k = 1; k <= reach; k++)
            sum += weights[k] * (before[k][x] + after[k][x]);
        out[x] = sum;
    }
}

static void blur_row(const float *const *before, const float *const *after, const float *weights,
                     int64_t reach, int64_t n, float *restrict out) {
    if (reach == FINE_REACH)
        blur_line(before, after, weights, FINE_REACH, n, out);
    else if (reach == COARSE_REACH)
        blur_line(before, after, weights, COARSE_REACH, n, out);
    else
        blur_line(before, after, weights, (int)reach, n, out);
}

void imgdup_blur(const float *plane, int64_t height, int64_t width, int64_t channels,
                 const float *weights, int64_t reach, float *row, float *out) {
    const float *before[BLUR_REACH + 1], *after[BLUR_REACH + 1];
    int64_t n = width * channels, edge = reach * channels;
    for (int64_t y = 0; y < height; y++) {
        for (int64_t k = 0; k <= reach; k++) {
            before[k] = plane + mirrored(y - k, height) * n;
            after[k] = plane + mirrored(y + k, height) * n;
        }
        float *columns = row + edge;
        blur_row(before, after, weights, reach, n, columns);
        for (int64_t k = 1; k <= reach; k++)
            for (int64_t c = 0; c < channels; c++) {
                int64_t right = mirrored(width - 1 + k, width);
                columns[c - k * channels] = columns[mirrored(k, width) * channels + c];
                columns[n + (k - 1) * channels + c] = columns[right * channels + c];
            }
        for (int64_t k = 0; k <= reach; k++) {
            before[k] = columns - k * channels;
            after[k] = columns + k * channels;
        }
        blur_row(before, after, weights, reach, n, out + y * n);
    }
}

double imgdup_mean_square(const float *a, const float *b, int64_t n) {
    double totals[LANES] = {0}, sum = 0;
    for (int64_t start = 0; start < n; start += CHUNK) {
        float part[LANES] = {0};
        int64_t stop = n - start < CHUNK ? n : start + CHUNK;
        for (int64_t i = start; i < stop; i += LANES) {
            int64_t n_lanes = stop - i < LANES ? stop - i : LANES;
            for (int64_t lane = 0; lane < n_lanes; lane++)
                part[lane] += (a[i + lane] - b[i + lane]) * (a[i + lane] - b[i + lane]);
        }
        for (int lane = 0; lane < LANES; lane++)
            totals[lane] += (double)part[lane];
    }
    for (int lane = 0; lane < LANES; lane++)
        sum += totals[lane];
    return sum / (double)n;
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

/* Write the sums over some rows of each column, of what `imgdup_block_moments` averages. */
static void add_rows(const float *a, const float *b, int64_t n_rows, int64_t width,
                     float *columns) {
    for (int64_t x = 0; x < width; x += LANES) {
        int64_t n_lanes = width - x < LANES ? width - x : LANES;
        Vector sums[DIFFERENCE_MOMENTS] = {{0}};
        for (int64_t y = 0; y < n_rows; y++) {
            Vector p = {0}, q = {0};
            copy(&p, a + y * width + x, n_lanes);
            copy(&q, b + y * width + x, n_lanes);
            sums[0] += p;
            sums[1] += q;
            sums[2] += p * p;
            sums[3] += q * q;
            sums[4] += p * q;
            sums[5] += (q - p) * (q - p);
        }
        for (int k = 0; k < DIFFERENCE_MOMENTS; k++)
            copy(columns + k * width + x, &sums[k], n_lanes);
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

/* Write the sums of each `side` numbers in a row; the numbers are replaced. */
static void add_neighbours(double *numbers, int64_t n, int64_t side) {
    for (int64_t step = 1; step < side; step *= 2)
        for (int64_t x = 0; x + step < n; x++)
            numbers[x] += numbers[x + step];
}

void imgdup_window_means(const float *planes, int64_t n_planes, int64_t height, int64_t width,
                         int64_t side, double *scratch, float *means) {
    int64_t before = side / 2, after = side - 1 - before, n = width + side - 1;
    double *columns = scratch, *row = scratch + width, scale = 1 / (double)(side * side);
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
            memcpy(row + before, columns, (size_t)width * sizeof *row);
            for (int64_t x = before + width; x < n; x++)
                row[x] = columns[width - 1];
            add_neighbours(row, n, side);
            for (int64_t x = 0; x < width; x++)
                out[y * width + x] = (float)(row[x] * scale);
            int64_t first = y < before ? 0 : y - before, next = y + after + 1;
            const float *old = plane + first * width;
            const float *new = plane + (next < height ? next : height - 1) * width;
            for (int64_t x = 0; x < width; x++)
                columns[x] += (double)new[x] - (double)old[x];
        }
    }
}

void imgdup_ascending(const double *values, const double *weights, int64_t n, double *means,
                      double *totals, int64_t *ends, double *nearest) {
    int64_t n_pools = 0;
    for (int64_t i = 0; i < n; i++) {
        double mean = values[i], total = weights[i];
        for (; n_pools > 0 && means[n_pools - 1] >= mean; n_pools--) {
            double before = totals[n_pools - 1];
            mean = (means[n_pools - 1] * before + mean * total) / (before + total);
            total = before + total;
        }
        means[n_pools] = mean;
        totals[n_pools] = total;
        ends[n_pools++] = i + 1;
    }
    for (int64_t pool = 0, i = 0; pool < n_pools; pool++)
        for (; i < ends[pool]; i++)
            nearest[i] = means[pool];
}

/* The input pixels of an output pixel: its first and last one and their weights; those between
 * have weight n_out. The unit of weights is 1 / n_out of an input pixel. */
typedef struct {
    int64_t first, last, first_weight, last_weight;
} Span;

static Span span_of(int64_t n_in, int64_t n_out, int64_t i) {
    int64_t low = i * n_in, high = low + n_in;
    int64_t first = low / n_out, last = (high - 1) / n_out, end = (first + 1) * n_out;
    return (Span){first, last, (end < high ? end : high) - low,
                  last > first ? high - last * n_out : 0};
}

/* Write the sums of some rows of levels from y on, up to ROWS_AT_ONCE, times their weights. */
static void add_levels(const uint8_t *levels, int64_t n, Span rows, int64_t y, int64_t n_out,
                       uint32_t *sums) {
    const uint8_t *row[ROWS_AT_ONCE];
    uint32_t weight[ROWS_AT_ONCE];
    for (int64_t k = 0; k < ROWS_AT_ONCE; k++) {
        int64_t at = y + k < rows.last ? y + k : rows.last;
        row[k] = levels + at * n;
        int64_t here = at == rows.first ? rows.first_weight
                       : at < rows.last ? n_out
                                        : rows.last_weight;
        weight[k] = y + k <= rows.last ? (uint32_t)here : 0;
    }
    for (int64_t x = 0; x < n; x++)
        sums[x] = (y > rows.first ? sums[x] : 0) + weight[0] * row[0][x] + weight[1] * row[1][x] +
                  weight[2] * row[2][x] + weight[3] * row[3][x];
}

/* Write n quotients, rounded, of numbers below 2 ** 52. */
static void round_quotients(const uint64_t *totals, int64_t n, double area, uint8_t *out) {
    static const double BASE = 4503599627370496.0; /* 2 ** 52; its last bits are whole numbers */
    uint64_t base_bits;
    memcpy(&base_bits, &BASE, sizeof base_bits);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = base_bits | totals[i];
        double total;
        memcpy(&total, &bits, sizeof total);
        out[i] = (uint8_t)(int32_t)((total - BASE) / area + 0.5);
    }
}

/* Write a row of the smaller picture. Where the number of channels is a constant, compilers add up
 * all channels at a time. */
static inline void shrink_row(const uint32_t *sums, int64_t channels, double area,
                              const Span *spans, int64_t out_width, uint8_t *out) {
    uint64_t totals[QUOTIENTS * MOST_CHANNELS];
    for (int64_t i = 0; i < out_width; i++) {
        const uint32_t *first = sums + spans[i].first * channels;
        const uint32_t *last = sums + spans[i].last * channels;
        uint64_t *total = totals + i % QUOTIENTS * channels, inner[MOST_CHANNELS] = {0};
        for (const uint32_t *at = first + channels; at < last; at += channels)
            for (int64_t k = 0; k < channels; k++)
                inner[k] += at[k];
        for (int64_t k = 0; k < channels; k++)
            total[k] = inner[k] * (uint64_t)out_width +
                       first[k] * (uint64_t)spans[i].first_weight +
                       last[k] * (uint64_t)spans[i].last_weight;
        if ((i + 1) % QUOTIENTS == 0 || i + 1 == out_width) {
            int64_t n = i % QUOTIENTS + 1;
            round_quotients(totals, n * channels, area, out + (i + 1 - n) * channels);
        }
    }
}

void imgdup_shrink(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                   uint8_t *out, int64_t out_height, int64_t out_width, uint32_t *sums,
                   void *spans) {
    Span *columns = spans;
    int64_t row_bytes = width * channels;
    double area = (double)height * (double)width;
    for (int64_t i = 0; i < out_width; i++)
        columns[i] = span_of(width, out_width, i);
    for (int64_t i = 0; i < out_height; i++, out += out_width * channels) {
        Span rows = span_of(height, out_height, i);
        for (int64_t y = rows.first; y <= rows.last; y += ROWS_AT_ONCE)
            add_levels(pixels, row_bytes, rows, y, out_height, sums);
        if (channels == 1)
            shrink_row(sums, 1, area, columns, out_width, out);
        else if (channels == RGB)
            shrink_row(sums, RGB, area, columns, out_width, out);
        else
            shrink_row(sums, channels, area, columns, out_width, out);
    }
}

/* Return twice the median of the differences of two pictures, at least LEAST_SPREAD. Neighbours are
 * counted in other tables, which takes less time. */
static float spread_of(const uint8_t *a, const uint8_t *b, int64_t n) {
    uint32_t tables[TABLES][LEVELS];
    int64_t below = 0;
    memset(tables, 0, sizeof tables);
    for (int64_t i = 0; i < n; i++)
        tables[i % TABLES][abs(a[i] - b[i])]++;
    int lower = -1, upper = -1; /* the two in the middle, or one twice */
    for (int level = 0; upper < 0; level++) {
        for (int k = 0; k < TABLES; k++)
            below += tables[k][level];
        if (lower < 0 && below > (n - 1) / 2)
            lower = level;
        if (below > n / 2)
            upper = level;
    }
    return lower + upper > LEAST_SPREAD ? (float)(lower + upper) : LEAST_SPREAD;
}

/* What a row of a picture adds to the sums of a step; `inside` is 1, and 0 behind the width. */
typedef struct {
    float *along_x, *along_y, *level, *goal, *place, *inside;
} StepRow;

/* The sums of a row, by their factors beside the weight: A and B are the slopes along x and y, X is
 * the place along x, L the level, G the goal. Those before TWICE_Y are needed times y squared, too,
 * and those before ONCE_Y times y. */
enum {
    AA, AB, BB, TWICE_Y,
    XAA = TWICE_Y, XAB, XBB, AL, BL, A, B, AG, BG, ONCE_Y,
    XXAA = ONCE_Y, XXAB, XXBB, XAL, XBL, XA, XB, XAG, XBG, LL, LG, L, G, ONE, ROW_SUMS,
};

/* Write of each pixel of a row: the slopes along x and y, the level, and that of the goal. */
static void write_row(const uint8_t *taken, const uint8_t *goal, int64_t height, int64_t width,
                      int64_t y, StepRow row) {
    const uint8_t *here = taken + y * width, *theirs = goal + y * width;
    const uint8_t *above = y ? here - width : here, *under = y + 1 < height ? here + width : here;
    float per_row = (float)height / (y && y + 1 < height ? 2 : 1), half = (float)width / 2;
    row.along_x[0] = (float)(here[1] - here[0]) * (float)width;
    for (int64_t x = 1; x < width - 1; x++)
        row.along_x[x] = (float)(here[x + 1] - here[x - 1]) * half;
    row.along_x[width - 1] = (float)(here[width - 1] - here[width - 2]) * (float)width;
    for (int64_t x = 0; x < width; x++)
        row.along_y[x] = (float)(under[x] - above[x]) * per_row;
    for (int64_t x = 0; x < width; x++) {
        row.level[x] = here[x];
        row.goal[x] = theirs[x];
    }
}

/* Write, for each lane, the sums of products of a row whose place along y is a factor of them all. */
static void add_row(StepRow row, int64_t n, float spread, Vector out[ROW_SUMS]) {
    Vector part[ROW_SUMS];
    memset(part, 0, sizeof part);
    for (int64_t i = 0; i < n; i += LANES) {
        Vector a, b, x, level, goal, weight;
        memcpy(&a, row.along_x + i, sizeof a);
        memcpy(&b, row.along_y + i, sizeof b);
        memcpy(&x, row.place + i, sizeof x);
        memcpy(&level, row.level + i, sizeof level);
        memcpy(&goal, row.goal + i, sizeof goal);
        memcpy(&weight, row.inside + i, sizeof weight);
        Vector off = (goal - level) / spread;
        weight /= 1 + off * off;
        Vector wa = weight * a, wb = weight * b, wl = weight * level;
        Vector xa = x * a, xb = x * b, wxa = wa * x, wxb = wb * x;
        part[AA] += wa * a;
        part[AB] += wa * b;
        part[BB] += wb * b;
        part[XAA] += wxa * a;
        part[XAB] += wxa * b;
        part[XBB] += wxb * b;
        part[AL] += wa * level;
        part[BL] += wb * level;
        part[A] += wa;
        part[B] += wb;
        part[AG] += wa * goal;
        part[BG] += wb * goal;
        part[XXAA] += wxa * xa;
        part[XXAB] += wxa * xb;
        part[XXBB] += wxb * xb;
        part[XAL] += wxa * level;
        part[XBL] += wxb * level;
        part[XA] += wxa;
        part[XB] += wxb;
        part[XAG] += wxa * goal;
        part[XBG] += wxb * goal;
        part[LL] += wl * level;
        part[LG] += wl * goal;
        part[L] += wl;
        part[G] += weight * goal;
        part[ONE] += weight;
    }
    memcpy(out, part, sizeof part);
}

/* Add the sums of the lanes of a row, times 1, y and y squared as far as these are needed. */
static void add_lanes(const Vector part[ROW_SUMS], double y, double sums[3][ROW_SUMS][LANES]) {
    for (int k = 0; k < ROW_SUMS; k++)
        for (int lane = 0; lane < LANES; lane++)
            sums[0][k][lane] += (double)part[k][lane];
    for (int k = 0; k < ONCE_Y; k++)
        for (int lane = 0; lane < LANES; lane++)
            sums[1][k][lane] += (double)part[k][lane] * y;
    for (int k = 0; k < TWICE_Y; k++)
        for (int lane = 0; lane < LANES; lane++)
            sums[2][k][lane] += (double)part[k][lane] * (y * y);
}

static double total_of(const double *lanes) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

void imgdup_step_sums(const uint8_t *taken, const uint8_t *goal, int64_t height, int64_t width,
                      int64_t stride, float *rows, double *products, double *wanted) {
    /* Which sum of a row each product of two parts comes from, and how often y is a factor. */
    static const struct {
        uint8_t sum, y;
    } FROM[STEP_PARTS][STEP_PARTS + 1] = {
        {{XXAA, 0}, {XAA, 1}, {XAA, 0}, {XXAB, 0}, {XAB, 1}, {XAB, 0}, {XAL, 0}, {XA, 0}, {XAG, 0}},
        {{0}, {AA, 2}, {AA, 1}, {XAB, 1}, {AB, 2}, {AB, 1}, {AL, 1}, {A, 1}, {AG, 1}},
        {{0}, {0}, {AA, 0}, {XAB, 0}, {AB, 1}, {AB, 0}, {AL, 0}, {A, 0}, {AG, 0}},
        {{0}, {0}, {0}, {XXBB, 0}, {XBB, 1}, {XBB, 0}, {XBL, 0}, {XB, 0}, {XBG, 0}},
        {{0}, {0}, {0}, {0}, {BB, 2}, {BB, 1}, {BL, 1}, {B, 1}, {BG, 1}},
        {{0}, {0}, {0}, {0}, {0}, {BB, 0}, {BL, 0}, {B, 0}, {BG, 0}},
        {{0}, {0}, {0}, {0}, {0}, {0}, {LL, 0}, {L, 0}, {LG, 0}},
        {{0}, {0}, {0}, {0}, {0}, {0}, {0}, {ONE, 0}, {G, 0}},
    };
    StepRow row = {rows, rows + stride, rows + 2 * stride, rows + 3 * stride, rows + 4 * stride,
                   rows + 5 * stride};
    float spread = spread_of(taken, goal, height * width);
    double sums[3][ROW_SUMS][LANES];
    memset(sums, 0, sizeof sums);
    for (int64_t x = 0; x < width; x++) {
        row.place[x] = ((float)x + 0.5f) / (float)width;
        row.inside[x] = 1;
    }
    for (int64_t y = 0; y < height; y++) {
        Vector part[ROW_SUMS];
        write_row(taken, goal, height, width, y, row);
        add_row(row, stride, spread, part);
        add_lanes(part, ((double)y + 0.5) / (double)height, sums);
    }
    for (int i = 0; i < STEP_PARTS; i++) {
        wanted[i] = total_of(sums[FROM[i][STEP_PARTS].y][FROM[i][STEP_PARTS].sum]);
        for (int j = i; j < STEP_PARTS; j++)
            products[i * STEP_PARTS + j] = products[j * STEP_PARTS + i] =
                total_of(sums[FROM[i][j].y][FROM[i][j].sum]);
    }
}

void imgdup_solve(double *matrix, double *vector, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(matrix[i * n + k]) > fabs(matrix[pivot * n + k]))
                pivot = i;
        double *row = matrix + k * n, *other = matrix + pivot * n, kept = vector[k];
        for (int64_t j = k; j < n; j++) {
            double number = row[j];
            row[j] = other[j];
            other[j] = number;
        }
        vector[k] = vector[pivot];
        vector[pivot] = kept;
        for (int64_t i = k + 1; i < n; i++) {
            double factor = matrix[i * n + k] / row[k];
            for (int64_t j = k; j < n; j++)
                matrix[i * n + j] -= factor * row[j];
            vector[i] -= factor * vector[k];
        }
    }
    for (int64_t k = n - 1; k >= 0; k--) {
        for (int64_t j = k + 1; j < n; j++)
            vector[k] -= matrix[k * n + j] * vector[j];
        vector[k] /= matrix[k * n + k];
    }
}

void imgdup_level_sums(const uint8_t *a, const uint8_t *b, const uint8_t *weights, int64_t n,
                       int64_t *sums) {
    for (int64_t i = 0; i < n; i++) {
        int64_t level = b[i], weight = weights[i], *of_level = sums + 3 * a[i];
        of_level[0] += weight;
        of_level[1] += weight * level;
        of_level[2] += weight * level * level;
    }
}

int64_t imgdup_curve_error(const uint8_t *a, const uint8_t *b, int64_t n, const int32_t *curve,
                           int32_t most) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t off = curve[a[i]] - b[i];
        sum += off * off < most ? off * off : most;
    }
    return sum;
}

void imgdup_count_nearer(const uint8_t *a, const uint8_t *b, int64_t n, const double *curve,
                         const uint8_t *is_counted, int64_t counts[2]) {
    for (int64_t i = 0; i < n; i++) {
        int level = a[i], goal = b[i];
        counts[0] += is_counted[level];
        counts[1] += is_counted[level] & (fabs(curve[level] - goal) < abs(level - goal));
    }
}

void imgdup_end_steps(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                      int64_t rows_apart, int32_t end, int64_t *dark, int64_t *bright) {
    for (int64_t y = 0; y < height; y += rows_apart) {
        const uint8_t *row = pixels + y * width * channels;
        for (int64_t i = channels; i < width * channels; i++) {
            int here = row[i], before = row[i - channels], step = abs(here - before);
            dark[step] += (here < end) & (before < end);
            bright[step] += (here > WHITE - end) & (before > WHITE - end);
        }
    }
}

void imgdup_transpose(const float *plane, int64_t height, int64_t width, float *out) {
    for (int64_t top = 0; top < height; top += LANES)
        for (int64_t left = 0; left < width; left += LANES)
            for (int64_t x = left; x < width && x < left + LANES; x++)
                for (int64_t y = top; y < height && y < top + LANES; y++)
                    out[x * height + y] = plane[y * width + x];
}

/* Return the sum of squares of one frequency in columns of FREQUENCIES pixels. */
static double power(const float *pixels, int64_t left, int64_t right, int64_t width,
                    const float *cosines) {
    float part[LANES] = {0};
    double sum = 0;
    for (int64_t x = left; x < right; x += LANES) {
        int64_t n_lanes = right - x < LANES ? right - x : LANES;
        for (int64_t lane = 0; lane < n_lanes; lane++) {
            float found = 0;
            for (int i = 0; i < FREQUENCIES; i++)
                found += cosines[i] * pixels[i * width + x + lane];
            part[lane] += found * found;
        }
    }
    for (int lane = 0; lane < LANES; lane++)
        sum += (double)part[lane];
    return sum;
}

void imgdup_frequency_powers(const float *plane, int64_t height, int64_t width,
                             const float *cosines, double *powers) {
    for (int64_t top = 0; top + FREQUENCIES <= height; top += FREQUENCIES)
        for (int k = 0; k < FREQUENCIES; k++)
            for (int64_t left = 0; left < width; left += CHUNK) {
                int64_t right = left + CHUNK < width ? left + CHUNK : width;
                powers[k] += power(plane + top * width, left, right, width, cosines + k * FREQUENCIES);
            }
}

/* Return by how much a change of level exceeds the mean of the changes before and after it. */
static float excess(float before, float here, float after, float last) {
    float change = 2 * fabsf(after - here) - fabsf(here - before) - fabsf(last - after);
    return change > 0 ? change : 0;
}

void imgdup_edges(const float *plane, int64_t height, int64_t width, double *rows,
                  double *columns) {
    for (int64_t y = 0; y < height; y++) {
        const float *row = plane + y * width;
        for (int64_t x = 2; x + 1 < width; x++)
            columns[x] += (double)excess(row[x - 2], row[x - 1], row[x], row[x + 1]);
    }
    for (int64_t y = 2; y + 1 < height; y++) {
        const float *row = plane + y * width;
        for (int64_t start = 0; start < width; start += CHUNK) {
            int64_t stop = start + CHUNK < width ? start + CHUNK : width;
            float part[LANES] = {0};
            for (int64_t x = start; x < stop; x += LANES) {
                int64_t n_lanes = stop - x < LANES ? stop - x : LANES;
                for (int64_t lane = 0; lane < n_lanes; lane++) {
                    const float *at = row + x + lane;
                    part[lane] += excess(at[-2 * width], at[-width], at[0], at[width]);
                }
            }
            for (int lane = 0; lane < LANES; lane++)
                rows[y] += (double)part[lane];
        }
    }
}

/* Write a line of levels, each `apart` bytes from the one before, less their mean and weighted. */
static void write_line(const uint8_t *levels, int64_t apart, int64_t n, const float *weights,
                       float *line) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += levels[i * apart];
    float mean = (float)sum / (float)n;
    for (int64_t i = 0; i < n; i++)
        line[i] = weights[i] * ((float)levels[i * apart] - mean);
}

void imgdup_lines(const uint8_t *levels, int64_t row_apart, int64_t pixel_apart, int64_t height,
                  int64_t width, int64_t n_lines, const float *weights, float *lines) {
    int64_t length = height < width ? height : width;
    int64_t top = (height - length) / 2 * row_apart, left = (width - length) / 2 * pixel_apart;
    for (int64_t i = 0; i < n_lines; i++) {
        int64_t row = (2 * i + 1) * height / (2 * n_lines);
        int64_t column = (2 * i + 1) * width / (2 * n_lines);
        write_line(levels + row * row_apart + left, pixel_apart, length, weights,
                   lines + i * length);
        write_line(levels + column * pixel_apart + top, row_apart, length, weights,
                   lines + (n_lines + i) * length);
    }
}

void imgdup_line_powers(const float *spectra, int64_t n_lines, int64_t n, double *powers) {
    memset(powers, 0, (size_t)n * sizeof *powers);
    for (int64_t line = 0; line < n_lines; line++)
        for (int64_t k = 0; k < n; k++) {
            float real = spectra[2 * (line * n + k)], imaginary = spectra[2 * (line * n + k) + 1];
            powers[k] += (double)(real * real + imaginary * imaginary);
        }
}

void imgdup_keep_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}
