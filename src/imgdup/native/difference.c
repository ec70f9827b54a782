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
    LEVELS = 256,
    WHITE = 255,
    LEAST_SPREAD = 4, /* levels */
    USUAL_SIDE = 4, /* pixels, of a block of luma; half of it for chroma */
    KEPT_BYTES = 32 << 20,
};

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

void imgdup_blend(const float *a, const float *fine, const float *coarse, int64_t n,
                  const float *weights, float *blend) {
    float x = weights[0], y = weights[1], z = weights[2];
    for (int64_t i = 0; i < n; i++) {
        float level = a[i] * x + fine[i] * y + coarse[i] * z;
        level = level > 0 ? level : 0;
        blend[i] = level < WHITE ? level : WHITE;
    }
}

static void add_row(const float *a, const float *b, int64_t width, float *columns) {
    float *restrict sa = columns, *restrict sb = columns + width;
    float *restrict saa = columns + 2 * width, *restrict sbb = columns + 3 * width;
    float *restrict sab = columns + 4 * width, *restrict sdd = columns + 5 * width;
    for (int64_t x = 0; x < width; x++) {
        float p = a[x], q = b[x], difference = q - p;
        sa[x] += p;
        sb[x] += q;
        saa[x] += p * p;
        sbb[x] += q * q;
        sab[x] += p * q;
        sdd[x] += difference * difference;
    }
}

/* Write the means of blocks from the sums of their columns. Where the side is a constant, compilers
 * work on several blocks at a time. */
static inline void average(const float *sums, int64_t width, int64_t side, int64_t height,
                           float *means) {
    int64_t n_whole = width / side, rest = width % side;
    for (int64_t i = 0; i < n_whole; i++) {
        float sum = 0;
        for (int64_t x = 0; x < side; x++)
            sum += sums[i * side + x];
        means[i] = sum / (float)(side * height);
    }
    if (rest) {
        float sum = 0;
        for (int64_t x = n_whole * side; x < width; x++)
            sum += sums[x];
        means[n_whole] = sum / (float)(rest * height);
    }
}

void imgdup_block_moments(const float *a, const float *b, int64_t height, int64_t width,
                          int64_t side, float *columns, float *moments) {
    int64_t n_rows = (height + side - 1) / side, n_columns = (width + side - 1) / side;
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t top = row * side, bottom = top + side < height ? top + side : height;
        memset(columns, 0, (size_t)(DIFFERENCE_MOMENTS * width) * sizeof *columns);
        for (int64_t y = top; y < bottom; y++)
            add_row(a + y * width, b + y * width, width, columns);
        for (int k = 0; k < DIFFERENCE_MOMENTS; k++) {
            float *means = moments + (k * n_rows + row) * n_columns;
            if (side == USUAL_SIDE)
                average(columns + k * width, width, USUAL_SIDE, bottom - top, means);
            else if (side == USUAL_SIDE / 2)
                average(columns + k * width, width, USUAL_SIDE / 2, bottom - top, means);
            else
                average(columns + k * width, width, side, bottom - top, means);
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

void imgdup_raise_beyond(const float *squares, const float *near, int64_t n, float noise,
                         float share, float *excess) {
    for (int64_t i = 0; i < n; i++) {
        float here = squares[i] > noise + near[i] * share ? squares[i] : 0;
        excess[i] = here > excess[i] ? here : excess[i];
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

static void add_levels(const uint8_t *levels, int64_t n, int64_t weight, uint32_t *sums) {
    for (int64_t x = 0; x < n; x++)
        sums[x] += (uint32_t)weight * levels[x];
}

static void shrink_row(const uint32_t *sums, int64_t channels, double area, const Span *spans,
                       int64_t out_width, uint8_t *out) {
    for (int64_t i = 0; i < out_width; i++) {
        const uint32_t *first = sums + spans[i].first * channels;
        const uint32_t *last = sums + spans[i].last * channels;
        for (int64_t channel = 0; channel < channels; channel++) {
            uint64_t inner = 0;
            for (const uint32_t *at = first + channels; at < last; at += channels)
                inner += at[channel];
            uint64_t total = inner * (uint64_t)out_width +
                             (uint64_t)first[channel] * (uint64_t)spans[i].first_weight +
                             (uint64_t)last[channel] * (uint64_t)spans[i].last_weight;
            *out++ = (uint8_t)((double)total / area + 0.5);
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
    for (int64_t i = 0; i < out_height; i++) {
        Span rows = span_of(height, out_height, i);
        memset(sums, 0, (size_t)row_bytes * sizeof *sums);
        add_levels(pixels + rows.first * row_bytes, row_bytes, rows.first_weight, sums);
        for (int64_t y = rows.first + 1; y < rows.last; y++)
            add_levels(pixels + y * row_bytes, row_bytes, out_height, sums);
        if (rows.last > rows.first)
            add_levels(pixels + rows.last * row_bytes, row_bytes, rows.last_weight, sums);
        shrink_row(sums, channels, area, columns, out_width, out + i * out_width * channels);
    }
}

/* Return twice the median of the differences of two pictures, at least LEAST_SPREAD. */
static float spread_of(const uint8_t *a, const uint8_t *b, int64_t n) {
    int64_t counts[LEVELS] = {0}, below = 0;
    for (int64_t i = 0; i < n; i++)
        counts[abs(a[i] - b[i])]++;
    int lower = -1, upper = -1; /* the two in the middle, or one twice */
    for (int level = 0; upper < 0; level++) {
        below += counts[level];
        if (lower < 0 && below > (n - 1) / 2)
            lower = level;
        if (below > n / 2)
            upper = level;
    }
    return lower + upper > LEAST_SPREAD ? (float)(lower + upper) : LEAST_SPREAD;
}

/* Write how a row of a picture changes by each part of a step; places are those of its pixels. */
static void move_row(const uint8_t *taken, int64_t height, int64_t width, int64_t y,
                     const float *places, float *parts, int64_t stride) {
    const uint8_t *row = taken + y * width;
    const uint8_t *above = y ? row - width : row, *under = y + 1 < height ? row + width : row;
    float per_row = (float)height / (y && y + 1 < height ? 2 : 1), half = (float)width / 2;
    float down = ((float)y + 0.5f) / (float)height;
    float *gx = parts + 2 * stride, *gy = parts + 5 * stride;
    gx[0] = (float)(row[1] - row[0]) * (float)width;
    for (int64_t x = 1; x < width - 1; x++)
        gx[x] = (float)(row[x + 1] - row[x - 1]) * half;
    gx[width - 1] = (float)(row[width - 1] - row[width - 2]) * (float)width;
    for (int64_t x = 0; x < width; x++)
        gy[x] = (float)(under[x] - above[x]) * per_row;
    for (int64_t x = 0; x < width; x++) {
        parts[x] = gx[x] * places[x];
        parts[stride + x] = gx[x] * down;
        parts[3 * stride + x] = gy[x] * places[x];
        parts[4 * stride + x] = gy[x] * down;
        parts[6 * stride + x] = row[x];
        parts[7 * stride + x] = 1;
    }
}

/* Add the products of two rows to the sums of the lanes; n is a multiple of LANES. */
static void add_products(const float *a, const float *b, int64_t n, double *sums) {
    float part[LANES] = {0};
    for (int64_t i = 0; i < n; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            part[lane] += a[i + lane] * b[i + lane];
    for (int lane = 0; lane < LANES; lane++)
        sums[lane] += (double)part[lane];
}

static double total_of(const double *lanes) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

void imgdup_step_sums(const uint8_t *taken, const uint8_t *goal, int64_t height, int64_t width,
                      int64_t stride, float *rows, double *products, double *wanted) {
    float *parts = rows, *weighted = rows + STEP_PARTS * stride;
    float *goals = weighted + stride, *weights = goals + stride, *places = weights + stride;
    double sums[STEP_PARTS][STEP_PARTS + 1][LANES]; /* the last of each row is of the goal */
    memset(sums, 0, sizeof sums);
    float weight_of[LEVELS], spread = spread_of(taken, goal, height * width);
    for (int level = 0; level < LEVELS; level++)
        weight_of[level] = 1 / (1 + (float)level / spread * ((float)level / spread));
    for (int64_t x = 0; x < width; x++)
        places[x] = ((float)x + 0.5f) / (float)width;
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *ours = taken + y * width, *theirs = goal + y * width;
        move_row(taken, height, width, y, places, parts, stride);
        for (int64_t x = 0; x < width; x++) {
            goals[x] = theirs[x];
            weights[x] = weight_of[abs(ours[x] - theirs[x])];
        }
        for (int i = 0; i < STEP_PARTS; i++) {
            for (int64_t x = 0; x < width; x++)
                weighted[x] = weights[x] * parts[i * stride + x];
            for (int j = i; j < STEP_PARTS; j++)
                add_products(weighted, parts + j * stride, stride, sums[i][j]);
            add_products(weighted, goals, stride, sums[i][STEP_PARTS]);
        }
    }
    for (int i = 0; i < STEP_PARTS; i++) {
        wanted[i] = total_of(sums[i][STEP_PARTS]);
        for (int j = i; j < STEP_PARTS; j++)
            products[i * STEP_PARTS + j] = products[j * STEP_PARTS + i] = total_of(sums[i][j]);
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

void imgdup_keep_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}
