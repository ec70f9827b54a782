/* Where the pixels of two pictures of one shape are not equal, and by how much they differ. */
#include "imgdup.h"

enum { PART = 1 << 12 }; /* values that are counted, or pixels that are added up, in 32 bits */

int64_t imgdup_count_changed(const uint8_t *a, const uint8_t *b, int64_t height, int64_t row_bytes,
                             int64_t rows_apart, uint8_t least) {
    int64_t count = 0;
    for (int64_t y = 0; y < height; y += rows_apart)
        for (int64_t first = 0; first < row_bytes; first += PART) {
            int64_t end = row_bytes - first < PART ? row_bytes : first + PART;
            uint32_t part = 0;
            for (int64_t i = y * row_bytes + first; i < y * row_bytes + end; i++)
                part += (uint8_t)(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]) >= least;
            count += part;
        }
    return count;
}

void imgdup_add_squares(const uint8_t *a, const uint8_t *b, int64_t n, int64_t sums[2]) {
    sums[0] = sums[1] = 0;
    for (int64_t first = 0; first < n; first += PART) {
        int64_t end = n - first < PART ? n : first + PART;
        int32_t sum = 0, squares = 0;
        for (int64_t i = first; i < end; i++) {
            int16_t change = (int16_t)(b[i] - a[i]);
            sum += change;
            squares += change * change;
        }
        sums[0] += sum;
        sums[1] += squares;
    }
}

/* Add up the changes of some pixels: see `imgdup_add_changes`. */
static void add_part(const uint8_t *a, const uint8_t *b, int64_t n, int64_t facts[7]) {
    int32_t count = 0, sums[3] = {0}, sizes[3] = {0};
    for (int64_t i = 0; i < n; i++) {
        int32_t red = b[3 * i] - a[3 * i], green = b[3 * i + 1] - a[3 * i + 1];
        int32_t blue = b[3 * i + 2] - a[3 * i + 2];
        count += (red | green | blue) != 0;
        sums[0] += red;
        sums[1] += green;
        sums[2] += blue;
        sizes[0] += red < 0 ? -red : red;
        sizes[1] += green < 0 ? -green : green;
        sizes[2] += blue < 0 ? -blue : blue;
    }
    facts[0] += count;
    for (int k = 0; k < 3; k++) {
        facts[1 + k] += sums[k];
        facts[4 + k] += sizes[k];
    }
}

void imgdup_add_changes(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width,
                        int64_t rows_apart, int64_t facts[7]) {
    for (int k = 0; k < 7; k++)
        facts[k] = 0;
    for (int64_t y = 0; y < height; y += rows_apart)
        for (int64_t x = 0; x < width; x += PART) {
            int64_t first = 3 * (y * width + x), n = width - x < PART ? width - x : PART;
            add_part(a + first, b + first, n, facts);
        }
}
