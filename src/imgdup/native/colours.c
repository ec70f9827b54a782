/* Colours of a picture: luma, whether it has colour, whether it has texture. */
#include "imgdup.h"

enum {
    SHIFT = 14,
    HALF = 1 << (SHIFT - 1),
    RED = 4899, /* the weights of the colours in luma, in parts of 2^14 */
    GREEN = 9617,
    BLUE = 1868,
    RED_PART = 11682, /* the same of what differs from luma, in chroma */
    BLUE_PART = 9241,
    NEUTRAL = 128, /* chroma of gray */
    WHITE = 255,
};

void imgdup_luma_plane(const uint8_t *rgb, int64_t n, float *plane) {
    for (int64_t i = 0; i < n; i++) {
        int32_t parts = RED * rgb[3 * i] + GREEN * rgb[3 * i + 1] + BLUE * rgb[3 * i + 2];
        plane[i] = (float)((parts + HALF) >> SHIFT);
    }
}

static uint8_t cut_off(int32_t level) {
    level = level > 0 ? level : 0;
    return (uint8_t)(level < WHITE ? level : WHITE);
}

void imgdup_chroma(const uint8_t *rgb, int64_t n, uint8_t *planes) {
    uint8_t *restrict red_part = planes, *restrict blue_part = planes + n;
    for (int64_t i = 0; i < n; i++) {
        int32_t red = rgb[3 * i], green = rgb[3 * i + 1], blue = rgb[3 * i + 2];
        int32_t luma = (RED * red + GREEN * green + BLUE * blue + HALF) >> SHIFT;
        red_part[i] = cut_off((RED_PART * (red - luma) + NEUTRAL * 2 * HALF + HALF) >> SHIFT);
        blue_part[i] = cut_off((BLUE_PART * (blue - luma) + NEUTRAL * 2 * HALF + HALF) >> SHIFT);
    }
}

int64_t imgdup_count_coloured(const uint8_t *rgb, int64_t n, int32_t neutral) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int red = rgb[3 * i], green = rgb[3 * i + 1], blue = rgb[3 * i + 2];
        int high = red > green ? red : green, low = red < green ? red : green;
        high = high > blue ? high : blue;
        low = low < blue ? low : blue;
        count += high - low > neutral;
    }
    return count;
}

/* Return the variance of a block of levels, each `apart` bytes from the next one in its row. */
static float variance_of(const uint8_t *levels, int64_t row_bytes, int64_t apart, int64_t height,
                         int64_t width) {
    int32_t sum = 0, squares = 0;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            int32_t level = levels[y * row_bytes + x * apart];
            sum += level;
            squares += level * level;
        }
    float n = (float)(height * width), mean = (float)sum / n;
    return (float)squares / n - mean * mean;
}

int32_t imgdup_is_smooth(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                         const ImgdupSmooth *rules) {
    int64_t side = rules->side, apart = 2 * channels, row_bytes = 2 * width * channels;
    int64_t rows = (height + 1) / 2, columns = (width + 1) / 2, n_textured = 0;
    int64_t block_rows = side < rows ? side : rows;
    int64_t block_columns = side < columns ? side : columns;
    int64_t n_blocks = ((rows + side - 1) / side) * ((columns + side - 1) / side);
    const uint8_t *levels = pixels + (channels > 1); /* green */
    for (int64_t y = 0; y < rows; y += side)
        for (int64_t x = 0; x < columns; x += side) {
            int64_t top = y < rows - block_rows ? y : rows - block_rows;
            int64_t left = x < columns - block_columns ? x : columns - block_columns;
            const uint8_t *block = levels + top * row_bytes + left * apart;
            n_textured += variance_of(block, row_bytes, apart, block_rows, block_columns) >
                          rules->textured;
            if ((double)n_textured / (double)n_blocks >= rules->share)
                return 0;
        }
    return 1;
}
