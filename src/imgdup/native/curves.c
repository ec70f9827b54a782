/* Tone curves that one number describes, or two: fit them to what levels have become, and compare
 * how near they come. */
#include "imgdup.h"

#include <string.h>

enum {
    WHITE = 255,
    LEVELS = CURVE_LEVELS,
    LANES = 8,        /* sums, or curves, side by side */
    PAIRWISE = 128,   /* numbers that are added up before others */
    PART = 1 << 12,   /* pixels whose errors are added in 32 bits */
    TERMS = 14,       /* of the series of the exponential function */
    MIDDLE_LEVEL = 128,
    EXPONENT_AT = 52, /* bits of a double before its exponent */
    EXPONENT_BIAS = 1023,
};

static const double LEAST_GAMMA = 0.1, LEAST_SUM = 1e-9, LEAST_EXPONENT = -700;

typedef double Curve[LEVELS];
typedef int32_t Lanes __attribute__((vector_size(LANES * sizeof(int32_t))));

/* Return the sum of some numbers. */
static double sum_of(const double *numbers) {
    double sum = 0;
    for (int i = 0; i < LEVELS; i += PAIRWISE) {
        double sums[LANES] = {0};
        for (int k = i; k < i + PAIRWISE; k += LANES)
            for (int lane = 0; lane < LANES; lane++)
                sums[lane] += numbers[k + lane];
        sum += ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
               ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
    return sum;
}

/* Return the sum of the products of three numbers. */
static double products_of(const double *a, const double *b, const double *c) {
    Curve products;
    for (int i = 0; i < LEVELS; i++)
        products[i] = a[i] * b[i] * c[i];
    return sum_of(products);
}

/* Write the exponential function of numbers from -700 to 0: a power of 2, times a series. */
static void write_exp(const double *numbers, double *out) {
    static const double series[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                    1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120,
                                    1.0 / 24, 1.0 / 6, 1.0 / 2, 1, 1}; /* 1 / k! */
    const double log2e = 1.4426950408889634, ln2_high = 0.6931471803691238;
    const double ln2_low = 1.9082149292705877e-10, shift = 6755399441055744.0; /* 1.5 * 2^52 */
    Curve shifted;
    uint64_t bits[LEVELS];
    for (int i = 0; i < LEVELS; i++) {
        shifted[i] = numbers[i] * log2e + shift; /* its last bits are the nearest integer */
        double whole = shifted[i] - shift, sum = 0;
        double rest = numbers[i] - whole * ln2_high - whole * ln2_low;
        for (int k = 0; k < TERMS; k++)
            sum = sum * rest + series[k];
        out[i] = sum;
    }
    memcpy(bits, shifted, sizeof bits);
    for (int i = 0; i < LEVELS; i++)
        bits[i] = (bits[i] + EXPONENT_BIAS) << EXPONENT_AT;
    memcpy(shifted, bits, sizeof bits);
    for (int i = 0; i < LEVELS; i++)
        out[i] *= shifted[i];
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* Write what a gamma makes of each level. */
static void write_gamma(const double *logs, double gamma, double *curve) {
    for (int i = 0; i < LEVELS; i++)
        curve[i] = larger(LEAST_EXPONENT, larger(LEAST_GAMMA, gamma) * logs[i]);
    write_exp(curve, curve);
    for (int i = 0; i < LEVELS; i++)
        curve[i] *= WHITE;
    curve[0] = 0;
}

/* Write how much each level counts: less if its mean lies far from a curve. */
static void weigh(const double *weights, const double *means, const double *curve, double far_off,
                  double *close) {
    for (int i = 0; i < LEVELS; i++) {
        double off = (means[i] - curve[i]) / far_off;
        close[i] = weights[i] / (1 + off * off);
    }
}

static void cut_off(double *curve) {
    for (int i = 0; i < LEVELS; i++)
        curve[i] = smaller(larger(curve[i], 0), WHITE);
}

/* Write the counts of the levels that are far enough from black and white in both pictures, and 0
 * elsewhere. */
static void count_inside(const double *counts, const double *means, double clipped_at,
                         double *weights) {
    for (int i = 0; i < LEVELS; i++) {
        double nearest = smaller(smaller(i, WHITE - i), smaller(means[i], WHITE - means[i]));
        weights[i] = nearest > clipped_at ? counts[i] : 0;
    }
}

/* Fit a factor of the distance from a pivot. */
static void fit_contrast(const double *weights, const double *means, double pivot,
                         const ImgdupCurve *rules, double *curve) {
    Curve close, basis, goal;
    memcpy(close, weights, sizeof close);
    for (int i = 0; i < LEVELS; i++) {
        basis[i] = i - pivot;
        goal[i] = means[i] - pivot;
    }
    for (int64_t round = 0; round < rules->rounds; round++) {
        double factor = products_of(close, basis, goal) /
                        larger(LEAST_SUM, products_of(close, basis, basis));
        for (int i = 0; i < LEVELS; i++)
            curve[i] = pivot + factor * basis[i];
        weigh(weights, means, curve, rules->far_off, close);
    }
}

static void fit_offset(const double *weights, const double *means, const ImgdupCurve *rules,
                       double *curve) {
    Curve close, products;
    memcpy(close, weights, sizeof close);
    for (int64_t round = 0; round < rules->rounds; round++) {
        for (int i = 0; i < LEVELS; i++)
            products[i] = close[i] * (means[i] - i);
        double offset = sum_of(products) / larger(LEAST_SUM, sum_of(close));
        for (int i = 0; i < LEVELS; i++)
            curve[i] = i + offset;
        weigh(weights, means, curve, rules->far_off, close);
    }
}

static void fit_gamma(const double *weights, const double *means, const double *logs,
                      const ImgdupCurve *rules, double *curve) {
    const double *goals = logs + LEVELS;
    Curve close;
    memcpy(close, weights, sizeof close);
    for (int64_t round = 0; round < rules->rounds; round++) {
        double gamma = products_of(close, logs, goals) /
                       larger(LEAST_SUM, products_of(close, logs, logs));
        write_gamma(logs, gamma, curve);
        weigh(weights, means, curve, rules->far_off, close);
    }
}

/* Fit a factor and an offset. */
static void fit_line(const double *weights, const double *means, const ImgdupCurve *rules,
                     double *curve) {
    Curve close, products, x, y;
    memcpy(close, weights, sizeof close);
    for (int64_t round = 0; round < rules->rounds; round++) {
        double total = sum_of(close);
        for (int i = 0; i < LEVELS; i++)
            products[i] = i * close[i];
        double mean_x = sum_of(products) / total;
        for (int i = 0; i < LEVELS; i++)
            products[i] = means[i] * close[i];
        double mean_y = sum_of(products) / total;
        for (int i = 0; i < LEVELS; i++) {
            x[i] = i - mean_x;
            y[i] = means[i] - mean_y;
        }
        double spread = products_of(x, x, close) / total;
        double slope = products_of(x, y, close) / total / larger(1, spread);
        double offset = mean_y - slope * mean_x;
        for (int i = 0; i < LEVELS; i++)
            curve[i] = slope * i + offset;
        weigh(weights, means, curve, rules->far_off, close);
    }
}

void imgdup_single_curves(const double *counts, const double *means, const double *logs,
                          double middle, const ImgdupCurve *rules, double *curves) {
    Curve weights;
    count_inside(counts, means, rules->clipped_at, weights);
    fit_contrast(weights, means, 0, rules, curves);
    fit_offset(weights, means, rules, curves + LEVELS);
    fit_gamma(weights, means, logs, rules, curves + 2 * LEVELS);
    fit_contrast(weights, means, MIDDLE_LEVEL, rules, curves + 3 * LEVELS);
    fit_contrast(weights, means, middle, rules, curves + 4 * LEVELS);
    for (int k = 0; k < SINGLE_CURVES; k++)
        cut_off(curves + k * LEVELS);
}

int64_t imgdup_plain_curves(const double *counts, const double *means, const double *logs,
                            const ImgdupCurve *rules, double *curves) {
    Curve weights;
    int64_t n_counted = 0;
    count_inside(counts, means, rules->clipped_at, weights);
    for (int i = 0; i < LEVELS; i++)
        n_counted += weights[i] > 0;
    fit_line(weights, means, rules, curves);
    fit_gamma(weights, means, logs, rules, curves + LEVELS);
    for (int k = 0; k < PLAIN_CURVES; k++)
        cut_off(curves + k * LEVELS);
    return n_counted;
}

void imgdup_smooth_curve(const double *counts, const double *means, const ImgdupCurve *rules,
                         double least, const double *kernel, const double *freedom, double *curve) {
    Curve off, free, weights, pool_means, totals;
    int64_t ends[LEVELS];
    imgdup_stiff_curve(counts, means, rules, curve);
    imgdup_levels_off(counts, means, curve, least, kernel, off);
    for (int i = 0; i < LEVELS; i++) {
        free[i] = curve[i] + freedom[i] * off[i];
        weights[i] = counts[i] + LEAST_SUM;
    }
    imgdup_ascending(free, weights, LEVELS, pool_means, totals, ends, curve);
    cut_off(curve);
}

/* Add up the errors of up to LANES curves, side by side. */
static void add_errors(const uint8_t *a, const uint8_t *b, int64_t n, const Lanes *curves,
                       int32_t most, int64_t *sums) {
    for (int64_t first = 0; first < n; first += PART) {
        int64_t end = n - first < PART ? n : first + PART;
        Lanes errors = {0};
        for (int64_t i = first; i < end; i++) {
            Lanes off = curves[a[i]] - (int32_t)b[i], squares = off * off;
            Lanes is_small = squares < most; /* -1 or 0 */
            errors += (squares & is_small) | (most & ~is_small);
        }
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += errors[lane];
    }
}

void imgdup_curve_errors(const uint8_t *a, const uint8_t *b, int64_t n, const int32_t *curves,
                         int64_t n_curves, int32_t most, int64_t *errors) {
    for (int64_t first = 0; first < n_curves; first += LANES) {
        int64_t sums[LANES] = {0}, n_lanes = n_curves - first < LANES ? n_curves - first : LANES;
        Lanes levels[LEVELS] = {{0}};
        for (int64_t lane = 0; lane < n_lanes; lane++)
            for (int i = 0; i < LEVELS; i++)
                levels[i][lane] = curves[(first + lane) * LEVELS + i];
        add_errors(a, b, n, levels, most, sums);
        memcpy(errors + first, sums, (size_t)n_lanes * sizeof *sums);
    }
}
