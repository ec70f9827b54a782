/* Windows of two pictures whose differences are unusual: what is usual, and what exceeds it. */
#include "imgdup.h"

#include <string.h>

enum { KEY_BITS = 32, DIGIT_BITS = 8, N_DIGITS = 1 << DIGIT_BITS, TABLES = 4 };

/* Return a number that is larger for larger values; of two zeros, the negative one is smaller. */
static uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> (KEY_BITS - 1) ? ~bits : bits | (uint32_t)1 << (KEY_BITS - 1);
}

static float value_of(uint32_t key) {
    uint32_t bits = key >> (KEY_BITS - 1) ? key & ~((uint32_t)1 << (KEY_BITS - 1)) : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Count each digit of some keys; neighbours are counted in other tables, which takes less time. */
static void count_digits(const uint32_t *keys, int64_t n, int shift, uint32_t *counts) {
    uint32_t tables[TABLES][N_DIGITS];
    memset(tables, 0, sizeof tables);
    for (int64_t i = 0; i < n; i++)
        tables[i % TABLES][keys[i] >> shift & (N_DIGITS - 1)]++;
    for (int digit = 0; digit < N_DIGITS; digit++)
        counts[digit] = tables[0][digit] + tables[1][digit] + tables[2][digit] + tables[3][digit];
}

/* The digits are found one after the other, the highest first; only keys with it are kept. */
float imgdup_ranked(const float *values, int64_t n, int64_t rank, uint32_t *keys) {
    for (int64_t i = 0; i < n; i++)
        keys[i] = key_of(values[i]);
    for (int shift = KEY_BITS - DIGIT_BITS; shift >= 0 && n > 1; shift -= DIGIT_BITS) {
        uint32_t counts[N_DIGITS], digit = 0;
        count_digits(keys, n, shift, counts);
        for (; rank >= counts[digit]; digit++)
            rank -= counts[digit];
        int64_t n_kept = 0;
        for (int64_t i = 0; i < n; i++) {
            uint32_t key = keys[i];
            keys[n_kept] = key;
            n_kept += (key >> shift & (N_DIGITS - 1)) == digit;
        }
        n = n_kept;
    }
    return value_of(keys[0]);
}

/* Write the places of n values that are below a limit (or above it, if the sign is -1), and of the
 * first ones that equal it, until there are enough. There is room for one more. */
static void collect(const float *values, const int64_t *places, int64_t n, float limit, float sign,
                    int64_t enough, int64_t *out) {
    int64_t n_equal = enough, n_found = 0;
    for (int64_t i = 0; i < n; i++)
        n_equal -= sign * values[i] < sign * limit;
    for (int64_t i = 0; i < n; i++) { /* without branches, which no processor could foresee */
        int64_t is_equal = (values[i] == limit) & (n_equal > 0);
        n_equal -= is_equal;
        out[n_found] = places[i];
        n_found += is_equal | (sign * values[i] < sign * limit);
    }
}

int64_t imgdup_thirds(const float *near, int64_t n, int64_t step, float bare, double many_bare,
                      float *values, uint32_t *keys, int64_t *places, int64_t *flat,
                      int64_t *rich) {
    int64_t n_all = (n + step - 1) / step, n_textured = 0, n_chosen = 0;
    for (int64_t i = 0; i < n; i += step)
        n_textured += near[i] > bare;
    int only_textured = (double)n_textured > many_bare * (double)n_all;
    for (int64_t i = 0; i < n; i += step) {
        values[n_chosen] = near[i];
        places[n_chosen] = i;
        n_chosen += !only_textured | (near[i] > bare);
    }
    int64_t third = n_chosen > 3 ? n_chosen / 3 : 1;
    float low = imgdup_ranked(values, n_chosen, third - 1, keys);
    float high = imgdup_ranked(values, n_chosen, n_chosen - third, keys);
    collect(values, places, n_chosen, low, 1, third, flat);
    collect(values, places, n_chosen, high, -1, third, rich);
    return third;
}

void imgdup_usual(const float *squares, const float *near, const int64_t *flat,
                  const int64_t *rich, int64_t n, int64_t rank, float least, float *values,
                  uint32_t *keys, float *usual) {
    for (int64_t i = 0; i < n; i++)
        values[i] = squares[flat[i]];
    usual[0] = imgdup_ranked(values, n, rank, keys);
    float noise = usual[0] > least ? usual[0] : least;
    for (int64_t i = 0; i < n; i++) {
        float beyond = squares[rich[i]] - noise;
        values[i] = (beyond > 0 ? beyond : 0) / (near[rich[i]] + 1);
    }
    usual[1] = imgdup_ranked(values, n, rank, keys);
}

/* Write the ratios of the windows that lie farther than `apart` from the one at row, column; return
 * their number. */
static int64_t others(const float *ratios, int64_t height, int64_t width, int64_t apart,
                      int64_t largest, float *out) {
    int64_t row = largest / width, column = largest % width, n = 0;
    for (int64_t y = 0; y < height; y++) {
        int is_near = y >= row - apart && y <= row + apart;
        int64_t left = is_near ? (column > apart ? column - apart : 0) : width;
        int64_t right = is_near ? column + apart + 1 : width;
        memcpy(out + n, ratios + y * width, (size_t)left * sizeof *out);
        n += left;
        if (right < width) {
            memcpy(out + n, ratios + y * width + right, (size_t)(width - right) * sizeof *out);
            n += width - right;
        }
    }
    return n;
}

void imgdup_raise_outliers(const float *squares, const float *near, int64_t height, int64_t width,
                           const ImgdupOutliers *rule, float *scratch, uint32_t *keys,
                           float *excess) {
    int64_t n = height * width, largest = 0;
    float *ratios = scratch, *rest = scratch + n;
    for (int64_t i = 0; i < n; i++)
        ratios[i] = squares[i] / (rule->noise + rule->share * near[i]);
    for (int64_t i = 1; i < n; i++)
        largest = ratios[i] > ratios[largest] ? i : largest;
    int64_t n_rest = others(ratios, height, width, rule->apart, largest, rest);
    if (n_rest < rule->few || ratios[largest] <= (float)(rule->factor * rule->least_ratio))
        return;
    int64_t rank = (int64_t)(rule->nearly_all * (double)(n_rest - 1));
    float usual = imgdup_ranked(rest, n_rest, rank, keys);
    double ratio = (double)usual > rule->least_ratio ? (double)usual : rule->least_ratio;
    float most = (float)(rule->factor * ratio);
    for (int64_t i = 0; i < n; i++) {
        int is_beyond = ratios[i] > most && squares[i] > rule->least;
        if (is_beyond && squares[i] > rule->texture_share * near[i] && squares[i] > excess[i])
            excess[i] = squares[i];
    }
}
