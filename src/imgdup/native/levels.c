/* Gray levels: those of colours, and of two pictures the sums and counts by level, errors of tone
 * curves, ascending curves. */
#include "imgdup.h"

#include <math.h>
#include <stdlib.h>

enum { WHITE = 255 };

void imgdup_luma(const uint8_t *rgb, int64_t row_bytes, int64_t height, int64_t width,
                 float *gray) {
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *row = rgb + y * row_bytes;
        for (int64_t x = 0; x < width; x++) {
            int32_t thousandths = 299 * row[3 * x] + 587 * row[3 * x + 1] + 114 * row[3 * x + 2];
            gray[y * width + x] = (float)thousandths / 1000;
        }
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
