/* Windows of two pictures that have structure: how many there are, and how many of them agree. */
#include "imgdup.h"
#include "lanes.h"

/* The planes of moments, as `imgdup_block_moments` writes them, but for the last one. */
enum { A, B, AA, BB, AB, N_PLANES };

static float larger(float a, float b) {
    return a > b ? a : b;
}

/* Write the larger variance of each window; return their mean. */
static double write_textures(const float *moments, int64_t n, float *textures) {
    const float *a = moments + A * n, *b = moments + B * n;
    const float *aa = moments + AA * n, *bb = moments + BB * n;
    double totals[LANES] = {0}, total = 0;
    for (int64_t i = 0; i < n; i++)
        textures[i] = larger(0, larger(aa[i] - a[i] * a[i], bb[i] - b[i] * b[i]));
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t n_lanes = n - i < LANES ? n - i : LANES;
        for (int64_t lane = 0; lane < n_lanes; lane++)
            totals[lane] += (double)textures[i + lane];
    }
    for (int lane = 0; lane < LANES; lane++)
        total += totals[lane];
    return total / (double)n;
}

void imgdup_count_agreeing(const float *moments, int64_t n, const ImgdupAgreement *rules,
                           float *textures, int64_t counts[2]) {
    const float *a = moments + A * n, *b = moments + B * n;
    const float *aa = moments + AA * n, *bb = moments + BB * n, *ab = moments + AB * n;
    double share = rules->mean_share * write_textures(moments, n, textures);
    float least = (float)(share > rules->least ? share : rules->least);
    float correlated = rules->correlated, floor = rules->floor;
    int32_t structured = 0, agreeing = 0; /* as wide as float, for vectors */
    for (int64_t i = 0; i < n; i++) {
        float va = larger(0, aa[i] - a[i] * a[i]), vb = larger(0, bb[i] - b[i] * b[i]);
        float covariance = ab[i] - a[i] * b[i];
        int32_t has_structure = textures[i] > least;
        int32_t agrees = covariance * covariance / (va * vb + floor) > correlated;
        structured += has_structure;
        agreeing += has_structure & agrees;
    }
    counts[0] = structured;
    counts[1] = agreeing;
}

void imgdup_agreement(const uint8_t *first, const uint8_t *second, int64_t height, int64_t width,
                      int64_t block, int64_t window, const ImgdupAgreement *rules, float *means,
                      double *sums, int64_t counts[2]) {
    int64_t n_pixels = height * width;
    int64_t n_rows = (height + block - 1) / block, n_columns = (width + block - 1) / block;
    int64_t n = n_rows * n_columns;
    float *a = means, *b = a + n_pixels, *columns = b + n_pixels;
    float *blocks = columns + DIFFERENCE_MOMENTS * width;
    float *windows = blocks + DIFFERENCE_MOMENTS * n, *textures = windows + DIFFERENCE_MOMENTS * n;
    for (int64_t i = 0; i < n_pixels; i++) {
        a[i] = first[i];
        b[i] = second[i];
    }
    imgdup_block_moments(a, b, height, width, block, columns, blocks);
    imgdup_window_means(blocks, N_PLANES, n_rows, n_columns, window, sums, windows);
    imgdup_count_agreeing(windows, n, rules, textures, counts);
}
