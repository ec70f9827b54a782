/* Frequencies and edges of a picture: sums that show how sharp it is, and where it was compressed. */
#include "imgdup.h"
#include "lanes.h"

#include <math.h>
#include <string.h>

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
