/* Blocks of 8 x 8 pixels, as JPEG compresses them. */
#include "imgdup.h"

#include <math.h>
#include <string.h>

enum {
    SIDE = 8,
    PIXELS = SIDE * SIDE,
    LANES = 8, /* sums side by side */
    COLUMNS = MIXED_PLANES + 1,
};

typedef double Block[PIXELS];

void imgdup_clipped_blocks(const uint8_t *pixels, int64_t row_bytes, int64_t height, int64_t width,
                           int64_t channels, const uint8_t limits[2], uint8_t *row, uint8_t *clipped) {
    int64_t n_columns = width / SIDE, n = n_columns * SIDE * channels, block_bytes = SIDE * channels;
    for (int64_t top = 0; top + SIDE <= height; top += SIDE, clipped += n_columns) {
        memset(row, 0, (size_t)n);
        for (int64_t y = top; y < top + SIDE; y++) {
            const uint8_t *levels = pixels + y * row_bytes;
            for (int64_t i = 0; i < n; i++)
                row[i] |= (levels[i] <= limits[0]) | (levels[i] >= limits[1]);
        }
        for (int64_t column = 0; column < n_columns; column++) {
            uint8_t any = 0;
            for (int64_t i = 0; i < block_bytes; i++)
                any |= row[column * block_bytes + i];
            clipped[column] = any;
        }
    }
}

/* Write the pixels of one block. */
static void take_block(const float *plane, int64_t width, Block block) {
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            block[y * SIDE + x] = plane[y * width + x];
}

static double sum_of_products(const double *a, const double *b) {
    double sums[LANES] = {0};
    for (int i = 0; i < PIXELS; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

void imgdup_varied_blocks(const float *plane, int64_t height, int64_t width, double least,
                          const uint8_t *clipped, uint8_t *varied) {
    Block ones, block;
    for (int i = 0; i < PIXELS; i++)
        ones[i] = 1;
    for (int64_t y = 0; y + SIDE <= height; y += SIDE)
        for (int64_t x = 0; x + SIDE <= width; x += SIDE) {
            take_block(plane + y * width + x, width, block);
            double mean = sum_of_products(block, ones) / PIXELS;
            for (int i = 0; i < PIXELS; i++)
                block[i] -= mean;
            *varied++ = !*clipped++ && sum_of_products(block, block) > PIXELS * least;
        }
}

void imgdup_on_steps(const float *values, const int32_t *places, int64_t n, const int32_t *tables,
                     int64_t n_tables, double tolerance, int64_t *counts) {
    for (int64_t table = 0; table < n_tables; table++, tables += PIXELS) {
        int64_t count = 0;
        for (int64_t i = 0; i < n; i++) {
            double step = tables[places[i]], value = values[i], multiple = rint(value / step);
            count += (fabs(value - multiple * step) <= tolerance) & (multiple > 0);
        }
        counts[table] = count;
    }
}

/* Write the columns of a block: the first plane, by how much the others differ from it, and ones. */
static void take_columns(const float *const planes[], int64_t n_planes, int64_t place, int64_t width,
                         Block *columns) {
    for (int64_t k = 0; k < n_planes; k++) {
        take_block(planes[k] + place, width, columns[k]);
        for (int i = 0; i < PIXELS && k > 0; i++)
            columns[k][i] -= columns[0][i];
    }
    for (int i = 0; i < PIXELS; i++)
        columns[n_planes][i] = 1;
}

void imgdup_mixture_errors(const float *goal, const float *const planes[], int64_t n_planes,
                           int64_t height, int64_t width, const uint8_t *judged, double ridge,
                           float *shown, float *errors) {
    int64_t n = n_planes + 1, n_columns = width / SIDE, n_blocks = height / SIDE * n_columns, found = 0;
    double products[COLUMNS * COLUMNS] = {0}, weights[COLUMNS] = {0}, sum = 0;
    Block columns[COLUMNS], block;
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t place = i / n_columns * SIDE * width + i % n_columns * SIDE;
        if (!judged[i])
            continue;
        take_block(goal + place, width, block);
        for (int k = 0; k < PIXELS; k++)
            shown[found * PIXELS + k] = (float)block[k];
        take_columns(planes, n_planes, place, width, columns);
        sum += sum_of_products(block, columns[n_planes]);
        for (int64_t p = 0; p < n; p++) {
            weights[p] += sum_of_products(block, columns[p]);
            for (int64_t q = 0; q <= p; q++)
                products[p * n + q] += sum_of_products(columns[p], columns[q]);
        }
        found++;
    }
    double mean = found ? sum / (double)(found * PIXELS) : 0;
    for (int64_t p = 0; p < n; p++) { /* the goal counts less its mean */
        weights[p] -= mean * products[n_planes * n + p];
        for (int64_t q = p + 1; q < n; q++)
            products[p * n + q] = products[q * n + p];
    }
    for (int64_t p = 0; p < n; p++)
        products[p * n + p] += ridge * (products[p * n + p] + 1);
    imgdup_solve(products, weights, n);
    for (int64_t i = 0; i < n_blocks; i++) {
        int64_t place = i / n_columns * SIDE * width + i % n_columns * SIDE;
        if (!judged[i])
            continue;
        take_columns(planes, n_planes, place, width, columns);
        for (int k = 0; k < PIXELS; k++) {
            double error = *shown++ - mean;
            for (int64_t p = 0; p < n; p++)
                error -= weights[p] * columns[p][k];
            *errors++ = (float)error;
        }
    }
}
