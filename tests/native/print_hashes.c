/* Prints all hashes and qualities of painted pictures, the same ones on every processor. */
#include "imgdup.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_PICTURES = 300, MAX_PIXELS = 1 << 20 };

static uint64_t state = 1;

/* The next of a fixed series of numbers, from 0 to below - 1. */
static int64_t next(int64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)below);
}

/* Paint a random plaid with noise. */
static void paint(uint8_t *bytes, float *floats, int64_t rows, int64_t columns, int is_float) {
    int64_t a = 1 + next(30), b = 1 + next(30), noise = 1 + next(60);
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) {
            int64_t value = (y * y / a + x * x / b + x * y / (a + b) + next(noise)) % 256;
            if (is_float)
                floats[y * columns + x] = (float)(value * 1000 + next(1000)) / 1004.0f;
            else
                bytes[y * columns + x] = (uint8_t)value;
        }
}

int main(void) {
    uint8_t *bytes = malloc(MAX_PIXELS), quality = 0;
    float *floats = malloc(MAX_PIXELS * sizeof(float));
    void *scratch = aligned_alloc(64, (size_t)imgdup_hash_scratch(1 << 13));
    uint64_t words[27];
    ImgdupHashes to = {words,      words + 1,  words + 5,  words + 6,
                       words + 10, words + 11, words + 15, words + 19, words + 23, &quality};
    if (!bytes || !floats || !scratch)
        return 1;
    for (int i = 0; i < N_PICTURES; i++) {
        ImgdupPicture picture = {0};
        int64_t limit = i % 20 ? 300 : 1000;
        picture.reduction = 1 << next(4);
        picture.height = 1 + next(limit);
        picture.width = 1 + next(limit);
        picture.rows_short_first = (int32_t)next(2);
        picture.columns_short_first = (int32_t)next(2);
        picture.is_float = (int32_t)next(2);
        picture.pixels = picture.is_float ? (void *)floats : (void *)bytes;
        int64_t rows = (picture.height + picture.reduction - 1) / picture.reduction;
        int64_t columns = (picture.width + picture.reduction - 1) / picture.reduction;
        picture.row_stride = columns * (picture.is_float ? (int64_t)sizeof(float) : 1);
        paint(bytes, floats, rows, columns, picture.is_float);
        imgdup_hash(&picture, 1, &to, scratch);
        for (int w = 0; w < 27; w++)
            printf("%016llx ", (unsigned long long)words[w]);
        printf("%d\n", quality);
    }
    return 0;
}
