/* Gray levels: those of colours, and of two pictures the sums and counts by level, errors of tone
 * curves, ascending curves. */
#include "imgdup.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHITE = 255,
    LEVELS = CURVE_LEVELS,
    TABLES = 2, /* to add levels in: neighbours are added in other ones, which takes less time */
    COUNT_BITS = 24,
    PART = 1 << 16, /* pixels, whose weights fit into these bits */
    TERMS = 5,  /* of the polynomial of a curve */
    LANES = 8,  /* sums side by side */
    STEPS = 512, /* between levels that are found before they are counted */
    DARK = 256, BRIGHT = 512, /* added to steps between dark levels, and between bright ones */
    FEW = 1 << 13, /* pixels, of which one number holds the count, the levels and their squares */
    LEVELS_AT = 14, SQUARES_AT = 35, /* bits of this number before those of the levels ... */
};

static const double PRIOR = 1e-4, RIDGE = 1e-9; /* shares of all pixels; keep equations solvable */

void imgdup_luma(const uint8_t *rgb, int64_t row_bytes, int64_t height, int64_t width,
                 float *gray) {
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *row = rgb + y * row_bytes;
        for (int64_t x = 0; x < width; x++) {
            int32_t thousandths = 299 * row[3 * x] + 587 * row[3 * x + 1] + 114 * row[3 * x + 2];
            gray[y * width + x] = (float)thousandths / 1000;
        }
    }
}

void imgdup_count_levels(const uint8_t *pixels, int64_t n, int64_t counts[LEVELS]) {
    int64_t others[LEVELS] = {0}; /* neighbours are counted elsewhere, which takes less time */
    memset(counts, 0, sizeof others);
    for (int64_t i = 0; i + 1 < n; i += 2) {
        counts[pixels[i]]++;
        others[pixels[i + 1]]++;
    }
    if (n % 2)
        counts[pixels[n - 1]]++;
    for (int i = 0; i < LEVELS; i++)
        counts[i] += others[i];
}

/* What the levels of two pictures have become in each other, some pixels at a time: of each level the
 * sum of the weights and, from bit COUNT_BITS on, of the squares; and the sum of the levels. */
typedef uint64_t Matches[2][TABLES][LEVELS][2];

static void add_matches(const uint8_t *a, const uint8_t *b, const uint8_t *weights, int64_t n,
                        Matches matches) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t p = a[i], q = b[i], weight = weights[i], p_sum = weight * p, q_sum = weight * q;
        uint64_t *of_a = matches[0][i % TABLES][p], *of_b = matches[1][i % TABLES][q];
        of_a[0] += ((uint64_t)(q_sum * q) << COUNT_BITS) + weight;
        of_a[1] += q_sum;
        of_b[0] += ((uint64_t)(p_sum * p) << COUNT_BITS) + weight;
        of_b[1] += p_sum;
    }
}

static void write_match(int64_t sums[LEVELS][3], double *match) {
    double *counts = match, *means = match + LEVELS, total = 0, spread = 0;
    for (int i = 0; i < LEVELS; i++) {
        double sum = (double)sums[i][1];
        counts[i] = (double)sums[i][0];
        means[i] = sum / (counts[i] > 1 ? counts[i] : 1);
        spread += (double)sums[i][2] - sum * means[i];
        total += counts[i];
    }
    match[2 * LEVELS] = total;
    match[2 * LEVELS + 1] = spread / total;
}

void imgdup_match_levels(const uint8_t *a, const uint8_t *b, const uint8_t *weights, int64_t n,
                         double *matches) {
    int64_t sums[2][LEVELS][3]; /* of the weights, the levels and their squares */
    Matches parts;
    memset(sums, 0, sizeof sums);
    for (int64_t first = 0; first < n; first += PART) {
        memset(parts, 0, sizeof parts);
        add_matches(a + first, b + first, weights + first, n - first < PART ? n - first : PART, parts);
        for (int way = 0; way < 2; way++)
            for (int k = 0; k < TABLES; k++)
                for (int i = 0; i < LEVELS; i++) {
                    const uint64_t *part = parts[way][k][i];
                    sums[way][i][0] += (int64_t)(part[0] & (((uint64_t)1 << COUNT_BITS) - 1));
                    sums[way][i][1] += (int64_t)part[1];
                    sums[way][i][2] += (int64_t)(part[0] >> COUNT_BITS);
                }
    }
    for (int way = 0; way < 2; way++)
        write_match(sums[way], matches + way * MATCH_ROOM);
}

void imgdup_match_equally(const uint8_t *a, const uint8_t *b, int64_t n, double *match) {
    int64_t sums[LEVELS][3];
    memset(sums, 0, sizeof sums);
    for (int64_t first = 0; first < n; first += FEW) {
        int64_t end = n - first < FEW ? n : first + FEW;
        uint64_t parts[TABLES][LEVELS] = {{0}};
        for (int64_t i = first; i < end; i++) {
            uint64_t level = b[i];
            parts[i % TABLES][a[i]] += 1 + (level << LEVELS_AT) + (level * level << SQUARES_AT);
        }
        for (int k = 0; k < TABLES; k++)
            for (int i = 0; i < LEVELS; i++) {
                uint64_t part = parts[k][i];
                sums[i][0] += (int64_t)(part & (((uint64_t)1 << LEVELS_AT) - 1));
                sums[i][1] += (int64_t)(part >> LEVELS_AT & (((uint64_t)1 << (SQUARES_AT - LEVELS_AT)) - 1));
                sums[i][2] += (int64_t)(part >> SQUARES_AT);
            }
    }
    write_match(sums, match);
}

void imgdup_take_every(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                       int64_t apart, uint8_t *out) {
    for (int64_t y = 0; y < height; y += apart)
        for (int64_t x = 0; x < width; x += apart)
            for (int64_t k = 0; k < channels; k++)
                *out++ = pixels[(y * width + x) * channels + k];
}

/* Write the largest and the smallest level of three rows around each place of the middle one, and
 * repeat the pixels at both ends. */
static void write_extremes(const uint8_t *above, const uint8_t *here, const uint8_t *under,
                           int64_t n, int64_t channels, uint8_t *high, uint8_t *low) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t most = above[i] > here[i] ? above[i] : here[i];
        uint8_t least = above[i] < here[i] ? above[i] : here[i];
        high[channels + i] = most > under[i] ? most : under[i];
        low[channels + i] = least < under[i] ? least : under[i];
    }
    for (int64_t k = 0; k < channels; k++) {
        high[k] = high[channels + k];
        low[k] = low[channels + k];
        high[channels + n + k] = high[n + k];
        low[channels + n + k] = low[n + k];
    }
}

/* Raise the ranges of a row to those of the levels around each place. */
static void raise_ranges(const uint8_t *high, const uint8_t *low, int64_t n, int64_t channels,
                         uint8_t *ranges) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t most = high[i] > high[i + channels] ? high[i] : high[i + channels];
        uint8_t least = low[i] < low[i + channels] ? low[i] : low[i + channels];
        most = most > high[i + 2 * channels] ? most : high[i + 2 * channels];
        least = least < low[i + 2 * channels] ? least : low[i + 2 * channels];
        uint8_t range = most - least;
        ranges[i] = range > ranges[i] ? range : ranges[i];
    }
}

void imgdup_evenness(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width,
                     int64_t channels, const uint8_t *weights, uint8_t *rows, uint8_t *out) {
    const uint8_t *pictures[] = {a, b};
    int64_t n = width * channels;
    memset(out, 0, (size_t)(height * n));
    for (int64_t y = 0; y < height; y++, out += n) {
        for (int k = 0; k < 2; k++) {
            const uint8_t *here = pictures[k] + y * n;
            write_extremes(y ? here - n : here, here, y + 1 < height ? here + n : here, n, channels,
                           rows, rows + n + 2 * channels);
            raise_ranges(rows, rows + n + 2 * channels, n, channels, out);
        }
        for (int64_t i = 0; i < n; i++)
            out[i] = weights[out[i]];
    }
}

/* Return the sum over all levels of the products of three numbers. */
static double sum_of(const double *a, const double *b, const double *c) {
    double sums[LANES] = {0}, sum = 0;
    for (int i = 0; i < LEVELS; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane] * c[i + lane];
    for (int lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    return sum;
}

double imgdup_missed(const double *counts, const double *means, const double *curve,
                     double slack) {
    double off[LEVELS];
    for (int i = 0; i < LEVELS; i++) {
        double far = fabs(means[i] - curve[i]) - slack;
        off[i] = far > 0 ? far : 0;
    }
    return sum_of(counts, off, off);
}

void imgdup_levels_off(const double *counts, const double *means, const double *curve,
                       double least, const double *kernel, double *off) {
    double near[LEVELS + 2 * CURVE_REACH] = {0}, moves[LEVELS + 2 * CURVE_REACH] = {0};
    double weights[LEVELS] = {0};
    for (int i = 0; i < LEVELS; i++) {
        near[CURVE_REACH + i] = counts[i];
        moves[CURVE_REACH + i] = counts[i] * (means[i] - curve[i]);
        off[i] = 0;
    }
    for (int k = -CURVE_REACH; k <= CURVE_REACH; k++)
        for (int i = 0; i < LEVELS; i++) {
            weights[i] += near[CURVE_REACH + i + k] * kernel[abs(k)];
            off[i] += moves[CURVE_REACH + i + k] * kernel[abs(k)];
        }
    for (int i = 0; i < LEVELS; i++)
        off[i] /= weights[i] + least;
}

static double cut_off(double level) {
    level = level > 0 ? level : 0;
    return level < WHITE ? level : WHITE;
}

/* Write how much each level counts by how far its mean lies from a curve; 0 where it is clipped. */
static void weigh(const double *counts, const double *means, const double *curve,
                  const ImgdupCurve *rules, double *weights) {
    for (int i = 0; i < LEVELS; i++) {
        double off = (means[i] - cut_off(curve[i])) / rules->far_off;
        double high = curve[i] > means[i] ? curve[i] : means[i];
        double low = curve[i] < means[i] ? curve[i] : means[i];
        int is_clipped = high < rules->clipped_at || low > WHITE - rules->clipped_at;
        weights[i] = (is_clipped ? 0 : counts[i]) / (1 + off * off);
    }
}

/* Fit a polynomial of the root of the level by weighted least squares. */
static void fit_polynomial(const double terms[TERMS][LEVELS], const double *means,
                           const double *weights, double prior, double *curve) {
    double products[TERMS * TERMS], found[TERMS], counted[LEVELS], goals[LEVELS];
    for (int i = 0; i < LEVELS; i++) {
        counted[i] = weights[i] + prior;
        goals[i] = weights[i] * means[i] + prior * i;
    }
    for (int i = 0; i < TERMS; i++) {
        found[i] = sum_of(terms[i], goals, terms[0]); /* the first term is 1 everywhere */
        for (int j = i; j < TERMS; j++)
            products[i * TERMS + j] = products[j * TERMS + i] =
                sum_of(terms[i], counted, terms[j]) + (i == j ? RIDGE : 0);
    }
    imgdup_solve(products, found, TERMS);
    for (int i = 0; i < LEVELS; i++) {
        curve[i] = 0;
        for (int k = 0; k < TERMS; k++)
            curve[i] += terms[k][i] * found[k];
    }
}

void imgdup_stiff_curve(const double *counts, const double *means, const ImgdupCurve *rules,
                        double *curve) {
    double terms[TERMS][LEVELS], weights[LEVELS], all = 0, some = 0;
    for (int i = 0; i < LEVELS; i++) {
        terms[0][i] = 1;
        for (int k = 1; k < TERMS; k++)
            terms[k][i] = terms[k - 1][i] * sqrt(i / (double)WHITE);
        int is_inside = means[i] > rules->clipped_at && means[i] < WHITE - rules->clipped_at;
        weights[i] = is_inside ? counts[i] : 0;
        all += counts[i];
        some += weights[i];
    }
    if (some < rules->most_clipped * all)
        memcpy(weights, counts, sizeof weights);
    for (int64_t round = 0; round < rules->rounds; round++) {
        fit_polynomial(terms, means, weights, PRIOR * all / LEVELS, curve);
        weigh(counts, means, curve, rules, weights);
    }
    for (int i = 0; i < LEVELS; i++)
        curve[i] = cut_off(curve[i]);
}

void imgdup_count_nearer(const uint8_t *a, const uint8_t *b, int64_t n, const double *curve,
                         const uint8_t *is_counted, int64_t counts[2]) {
    int64_t counted = 0, nearer = 0;
    for (int64_t i = 0; i < n; i++) {
        int level = a[i], goal = b[i];
        counted += is_counted[level];
        nearer += is_counted[level] & (fabs(curve[level] - goal) < abs(level - goal));
    }
    counts[0] += counted;
    counts[1] += nearer;
}

/* Write how far levels lie from those before them, and from bit 8 on whether both are near black, and
 * from bit 9 on whether both are near white. */
static void write_steps(const uint8_t *before, const uint8_t *here, int64_t n, int32_t end,
                        uint16_t *steps) {
    for (int64_t i = 0; i < n; i++) {
        int32_t high = here[i] > before[i] ? here[i] : before[i];
        int32_t low = here[i] < before[i] ? here[i] : before[i];
        steps[i] = (uint16_t)(high - low + (high < end) * DARK + (low > WHITE - end) * BRIGHT);
    }
}

void imgdup_end_steps(const uint8_t *pixels, int64_t height, int64_t width, int64_t channels,
                      int64_t rows_apart, int32_t end, int64_t *dark, int64_t *bright) {
    int64_t counts[TABLES][2 * BRIGHT] = {{0}}, n = width * channels;
    uint16_t steps[STEPS];
    for (int64_t y = 0; y < height; y += rows_apart)
        for (int64_t first = channels; first < n; first += STEPS) {
            const uint8_t *row = pixels + y * n + first;
            int64_t n_steps = n - first < STEPS ? n - first : STEPS;
            write_steps(row - channels, row, n_steps, end, steps);
            for (int64_t i = 0; i < n_steps; i++)
                counts[i % TABLES][steps[i]]++;
        }
    for (int k = 0; k < TABLES; k++)
        for (int i = 0; i < LEVELS; i++) {
            dark[i] += counts[k][DARK + i] + counts[k][DARK + BRIGHT + i];
            bright[i] += counts[k][BRIGHT + i] + counts[k][DARK + BRIGHT + i];
        }
}

void imgdup_ascending(const double *values, const double *weights, int64_t n, double *means,
                      double *totals, int64_t *ends, double *nearest) {
    int64_t n_pools = 0;
    for (int64_t i = 0; i < n; i++) {
        double mean = values[i], total = weights[i];
        for (; n_pools > 0 && means[n_pools - 1] >= mean; n_pools--) {
            double before = totals[n_pools - 1];
            mean = (means[n_pools - 1] * before + mean * total) / (before + total);
            total = before + total;
        }
        means[n_pools] = mean;
        totals[n_pools] = total;
        ends[n_pools++] = i + 1;
    }
    for (int64_t pool = 0, i = 0; pool < n_pools; pool++)
        for (; i < ends[pool]; i++)
            nearest[i] = means[pool];
}
