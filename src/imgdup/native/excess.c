/* What differs beyond what copying explains, in windows of several sizes, by their moments. */
#include "imgdup.h"

#include <math.h>

enum {
    CHROMA_SCALE = 2 * DIFFERENCE_MOMENTS, /* planes of both channels */
    AB = 4, DD = 5, /* of the moments; chroma needs no means of a * b */
};

int32_t imgdup_luma_part(const float *moments, int64_t height, int64_t width, int64_t side,
                         const ImgdupExcess *rules, double clean, int64_t *scratch, float *windows,
                         float *excess) {
    int64_t n = height * width;
    if (side > 1) {
        imgdup_window_means(moments, DIFFERENCE_MOMENTS, height, width, side, (double *)scratch,
                            windows);
        moments = windows;
    }
    imgdup_luma_excess(moments, height, width, rules, clean, scratch, excess);
    int32_t differs = 0;
    for (int64_t i = 0; i < n; i++)
        differs |= excess[i] > 0;
    return differs;
}

void imgdup_chroma_excess(const float *const luma[], const float *red, const float *blue,
                          int64_t height, int64_t width, const ImgdupExcess *rules, int64_t n_sizes,
                          double clean, int64_t *scratch, float *windows, float *excess) {
    int64_t n = height * width;
    float *squares = windows + CHROMA_SCALE * n;
    for (int64_t i = 0; i < n; i++)
        squares[i] = 0;
    for (int64_t k = 0; k < n_sizes; k++) {
        const float *planes[] = {red, blue};
        for (int channel = 0; channel < 2 && k > 0; channel++) {
            float *means = windows + channel * DIFFERENCE_MOMENTS * n;
            imgdup_window_means(planes[channel], AB, height, width, (int64_t)1 << k,
                                (double *)scratch, means);
            imgdup_window_means(planes[channel] + DD * n, 1, height, width, (int64_t)1 << k,
                                (double *)scratch, means + DD * n);
            planes[channel] = means;
        }
        imgdup_raise_chroma(luma[k], planes[0], planes[1], height, width, rules + k, clean, scratch,
                            squares);
    }
    for (int64_t i = 0; i < n; i++) {
        float root = sqrtf(squares[i]);
        excess[i] = excess[i] > root ? excess[i] : root;
    }
}

static float positive(float value) {
    return value > 0 ? value : 0;
}

/* Write the larger variance of each window, and which share of it the other picture has. */
static void share_shapes(const float *means, int64_t n, float floor, float *larger, float *shared) {
    const float *a = means, *b = means + n, *aa = b + n, *bb = aa + n, *ab = bb + n;
    for (int64_t i = 0; i < n; i++) {
        float first = positive(aa[i] - a[i] * a[i]), second = positive(bb[i] - b[i] * b[i]);
        float both = ab[i] - a[i] * b[i], share = both * both / (first * second + floor);
        larger[i] = first > second ? first : second;
        shared[i] = share < 1 ? share : 1;
    }
}

void imgdup_unlike_structure(const float *means, int64_t n, const ImgdupStructure *rules,
                             const ImgdupLimits *limits, float *scratch, float *excess) {
    float *textures = scratch, *unlike = scratch + n, *flat = scratch + 2 * n, largest = 0;
    uint32_t *keys = (uint32_t *)(scratch + 3 * n);
    share_shapes(means, n, rules->floor, textures, unlike);
    for (int64_t i = 0; i < n; i++) {
        unlike[i] = textures[i] * (1 - unlike[i]);
        largest = unlike[i] > largest ? unlike[i] : largest;
        excess[i] = 0;
    }
    double least = limits->factor * rules->least_noise;
    if (largest <= (float)(least < limits->most_noise ? least : limits->most_noise))
        return; /* no more than is explained where there is no texture */
    float most = imgdup_ranked(textures, n, (int64_t)(rules->flat_share * (double)(n - 1)), keys);
    int64_t n_flat = 0;
    for (int64_t i = 0; i < n; i++) {
        flat[n_flat] = unlike[i];
        n_flat += textures[i] <= most;
    }
    double noise = imgdup_ranked(flat, n_flat, (int64_t)(rules->quantile * (double)(n_flat - 1)), keys);
    noise = limits->factor * (noise > rules->least_noise ? noise : rules->least_noise);
    float allowed = (float)(noise < limits->most_noise ? noise : limits->most_noise);
    for (int64_t i = 0; i < n; i++)
        excess[i] = unlike[i] > allowed + rules->unlike_share * textures[i] ? sqrtf(unlike[i]) : 0;
}

/* Write what differs beside shapes in each window without one; return how many windows these are. */
static int64_t write_noise(const float *means, int64_t n, const float *larger, float faint,
                           float *noise) {
    const float *a = means, *b = means + n, *dd = means + 5 * n;
    int64_t n_found = 0;
    for (int64_t i = 0; i < n; i++) {
        float change = b[i] - a[i];
        noise[n_found] = dd[i] - change * change;
        n_found += larger[i] <= faint;
    }
    return n_found;
}

void imgdup_unlike_shapes(const float *moments, int64_t height, int64_t width,
                          const ImgdupShapes *rules, double *sums, float *scratch, float *excess) {
    int64_t n = height * width, n_shapes = 0, n_unlike = 0;
    const float *a = moments, *b = moments + n;
    float *products = scratch, *means = scratch + DIFFERENCE_MOMENTS * n, least = -1;
    float *shared = products, *larger = products + n, *noise = products + 2 * n;
    for (int64_t i = 0; i < n; i++) {
        float change = b[i] - a[i];
        products[i] = a[i];
        products[n + i] = b[i];
        products[2 * n + i] = a[i] * a[i];
        products[3 * n + i] = b[i] * b[i];
        products[4 * n + i] = a[i] * b[i];
        products[5 * n + i] = change * change;
    }
    imgdup_window_means(products, DIFFERENCE_MOMENTS, height, width, rules->side, sums, means);
    share_shapes(means, n, rules->floor, larger, shared);
    for (int64_t i = 0; i < n; i++) {
        n_shapes += larger[i] > rules->faint;
        n_unlike += (larger[i] > rules->faint) & (shared[i] < rules->correlated);
    }
    if ((double)n_unlike <= rules->unlike_share * (double)n_shapes) {
        int64_t n_beside = write_noise(means, n, larger, rules->faint, noise);
        double usual = INFINITY;
        if (n_beside >= rules->few)
            usual = imgdup_ranked(noise, n_beside, (int64_t)(rules->quantile * (double)(n_beside - 1)),
                                  (uint32_t *)means);
        usual = usual > rules->least_noise ? usual : rules->least_noise;
        least = (float)(rules->beside_noise * usual);
    }
    for (int64_t i = 0; i < n; i++) {
        int is_unlike = (larger[i] > rules->faint) & (shared[i] < rules->correlated);
        is_unlike &= larger[i] * (1 - shared[i]) > least;
        excess[i] = is_unlike ? sqrtf(larger[i]) : 0;
    }
}
