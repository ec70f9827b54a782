/* Sums over two pictures that are compared: the fit of a filter, and means over blocks. */
#include "imgdup.h"

#include <string.h>

enum {
    LANES = 16,   /* independent sums of a vector */
    CHUNK = 1024, /* pixels whose products are added in float, before the sums are added in double */
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

void imgdup_block_moments(const float *a, const float *b, int64_t height, int64_t width,
                          int64_t side, float *columns, float *moments) {
    int64_t n_rows = (height + side - 1) / side, n_columns = (width + side - 1) / side;
    for (int64_t row = 0; row < n_rows; row++) {
        int64_t top = row * side, bottom = top + side < height ? top + side : height;
        memset(columns, 0, (size_t)(DIFFERENCE_MOMENTS * width) * sizeof *columns);
        for (int64_t y = top; y < bottom; y++)
            add_row(a + y * width, b + y * width, width, columns);
        for (int k = 0; k < DIFFERENCE_MOMENTS; k++) {
            const float *sums = columns + k * width;
            float *means = moments + (k * n_rows + row) * n_columns;
            for (int64_t column = 0; column < n_columns; column++) {
                int64_t left = column * side, right = left + side < width ? left + side : width;
                float sum = 0;
                for (int64_t x = left; x < right; x++)
                    sum += sums[x];
                means[column] = sum / (float)((right - left) * (bottom - top));
            }
        }
    }
}
