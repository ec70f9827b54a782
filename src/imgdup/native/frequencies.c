/* Lines of a picture and their frequencies, which show whether it was enlarged. */
#include "imgdup.h"

#include <string.h>

/* Write a line of levels, each `apart` bytes from the one before, less their mean and weighted. */
static void write_line(const uint8_t *levels, int64_t apart, int64_t n, const float *weights,
                       float *line) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += levels[i * apart];
        line[i] = (float)levels[i * apart];
    }
    float mean = (float)sum / (float)n;
    for (int64_t i = 0; i < n; i++)
        line[i] = weights[i] * (line[i] - mean);
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
