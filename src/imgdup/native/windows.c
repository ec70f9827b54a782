/* Windows of two pictures whose differences are unusual: what is usual, and what exceeds it. */
#include "imgdup.h"

#include <math.h>
#include <string.h>

enum {
    KEY_BITS = 32,
    DIGIT_BITS = 8,
    N_DIGITS = 1 << DIGIT_BITS,
    TABLES = 4,
    LANES = 16, /* independent maxima */
    REACH = 2,  /* windows; the texture of one is the largest within this distance */
};

/* The planes of moments, as `imgdup_block_moments` writes them. */
enum { A, B, AA, BB, AB, DD };

/* Windows of one size, and what is usual in them. */
typedef struct {
    int64_t height, width, n;
    const ImgdupUsual *rule;
    double clean;
    float *variances, *near; /* (n,): the texture of each window, and the largest near it */
    float *values, *ratios;  /* (n,), scratch memory; in one piece */
    uint32_t *keys;          /* (n,), scratch memory */
    int64_t *places, *flat, *rich, n_thirds; /* n_thirds is 0 if near is not known yet */
} Windows;

/* A square of each window, and what is usual of these, once it is known. */
typedef struct {
    const float *values;
    float largest;
    int is_known;
    double noise, share; /* usual where there is no texture, and as a share of the texture */
} Squares;

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

/* Write the places of the third of the windows with the least texture and of that with the most; of
 * equal ones the first. Windows without texture say nothing about noise: they count only if nearly
 * all are such. */
static void find_thirds(Windows *in) {
    const ImgdupUsual *rule = in->rule;
    int64_t step = in->n > rule->samples ? in->n / rule->samples : 1;
    int64_t n_all = (in->n + step - 1) / step, n_textured = 0, n_chosen = 0;
    for (int64_t i = 0; i < in->n; i += step)
        n_textured += in->near[i] > rule->bare;
    int only_textured = (double)n_textured > rule->many_bare * (double)n_all;
    for (int64_t i = 0; i < in->n; i += step) {
        in->values[n_chosen] = in->near[i];
        in->places[n_chosen] = i;
        n_chosen += !only_textured | (in->near[i] > rule->bare);
    }
    int64_t third = n_chosen > 3 ? n_chosen / 3 : 1;
    float low = imgdup_ranked(in->values, n_chosen, third - 1, in->keys);
    float high = imgdup_ranked(in->values, n_chosen, n_chosen - third, in->keys);
    collect(in->values, in->places, n_chosen, low, 1, third, in->flat);
    collect(in->values, in->places, n_chosen, high, -1, third, in->rich);
    in->n_thirds = third;
}

static float larger(float a, float b) {
    return a > b ? a : b;
}

static float least_of(float a, float b) {
    return a < b ? a : b;
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}

static float largest_of(const float *values, int64_t n) {
    float parts[LANES], largest = values[0];
    for (int lane = 0; lane < LANES; lane++)
        parts[lane] = largest;
    int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            parts[lane] = larger(values[i + lane], parts[lane]);
    for (int64_t i = whole; i < n; i++)
        largest = larger(values[i], largest);
    for (int lane = 0; lane < LANES; lane++)
        largest = larger(parts[lane], largest);
    return largest;
}

/* Write the largest texture near each window: of each column first, then of each row. */
static void find_near(Windows *in) {
    int64_t height = in->height, width = in->width;
    float *row = in->values; /* with the first and the last element repeated */
    for (int64_t y = 0; y < height; y++) {
        float *columns = row + REACH, *out = in->near + y * width;
        int64_t top = y > REACH ? y - REACH : 0;
        int64_t bottom = y + REACH < height ? y + REACH : height - 1;
        memcpy(columns, in->variances + top * width, (size_t)width * sizeof *columns);
        for (int64_t j = top + 1; j <= bottom; j++)
            for (int64_t x = 0; x < width; x++)
                columns[x] = larger(in->variances[j * width + x], columns[x]);
        for (int i = 0; i < REACH; i++) {
            row[i] = columns[0];
            columns[width + i] = columns[width - 1];
        }
        for (int64_t x = 0; x < width; x++) {
            float most = row[x];
            for (int i = 1; i <= 2 * REACH; i++)
                most = larger(row[x + i], most);
            out[x] = most;
        }
    }
}

/* Find what is usual of squares: a quantile of those of flat windows and, of rich ones, of the share
 * that what is beyond the noise has of the texture. The less clean a picture is, the more of the
 * least noise and share counts. */
static void find_usual(Windows *in, Squares *of) {
    const ImgdupUsual *rule = in->rule;
    float *values = in->values;
    if (of->is_known)
        return;
    of->is_known = 1;
    if (!in->n_thirds) {
        find_near(in);
        find_thirds(in);
    }
    int64_t n = in->n_thirds, rank = (int64_t)(rule->quantile * (double)(n - 1));
    for (int64_t i = 0; i < n; i++)
        values[i] = of->values[in->flat[i]];
    float noise = imgdup_ranked(values, n, rank, in->keys);
    float least = larger(noise, (float)rule->least_noise);
    for (int64_t i = 0; i < n; i++) {
        float beyond = of->values[in->rich[i]] - least;
        values[i] = (beyond > 0 ? beyond : 0) / (in->near[in->rich[i]] + 1);
    }
    double share = (double)imgdup_ranked(values, n, rank, in->keys);
    double noises = (double)noise / rule->least_noise, shares = share / rule->least_share;
    double unclean = smaller(1, 5 * (noises > shares ? noises : shares));
    unclean = unclean > in->clean ? unclean : in->clean;
    of->noise = (double)noise > unclean * rule->least_noise ? (double)noise
                                                            : unclean * rule->least_noise;
    of->share = share > unclean * rule->least_share ? share : unclean * rule->least_share;
}

/* Raise the excess to squares that exceed what the limits explain for their texture. */
static void raise_unexplained(Windows *in, Squares *of, const ImgdupLimits *limits,
                              float *excess) {
    double always = limits->factor * in->clean * in->rule->least_noise;
    if (of->largest <= (float)smaller(always, limits->most_noise))
        return;
    find_usual(in, of);
    float noise = (float)smaller(limits->factor * of->noise, limits->most_noise);
    float share = (float)smaller(limits->factor * of->share, limits->most_share);
    for (int64_t i = 0; i < in->n; i++) {
        float here = of->values[i] > noise + in->near[i] * share ? of->values[i] : 0;
        excess[i] = larger(here, excess[i]);
    }
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

/* Raise the excess to squares that exceed so many times those of nearly all windows that do not lie
 * near the one that exceeds them most. Each counts in proportion to what is usual for its texture. */
static void raise_outliers(Windows *in, Squares *of, const ImgdupOutliers *outliers,
                           float *excess) {
    const ImgdupUsual *rule = in->rule;
    int64_t n = in->n, place = 0;
    float *ratios = in->ratios, *rest = in->values;
    if (!outliers->factor || of->largest <= (float)outliers->least)
        return;
    find_usual(in, of);
    float noise = (float)of->noise, share = (float)of->share;
    for (int64_t i = 0; i < n; i++)
        ratios[i] = of->values[i] / (noise + share * in->near[i]);
    float largest = largest_of(ratios, n);
    while (ratios[place] < largest)
        place++;
    int64_t n_rest = others(ratios, in->height, in->width, rule->apart, place, rest);
    if (n_rest < rule->few || largest <= (float)(outliers->factor * rule->least_ratio))
        return;
    int64_t rank = (int64_t)(rule->nearly_all * (double)(n_rest - 1));
    double usual = (double)imgdup_ranked(rest, n_rest, rank, in->keys);
    usual = usual > rule->least_ratio ? usual : rule->least_ratio;
    float most = (float)(outliers->factor * usual), least = (float)outliers->least;
    float least_share = (float)outliers->texture_share;
    for (int64_t i = 0; i < n; i++) {
        float square = of->values[i];
        int is_beyond = (ratios[i] > most) & (square > least);
        is_beyond &= square > least_share * in->near[i];
        excess[i] = larger(is_beyond ? square : 0, excess[i]);
    }
}

/* Lay out the scratch memory; the texture of each window is filled in later. */
static Windows windows_of(int64_t height, int64_t width, const ImgdupUsual *rule, double clean,
                          int64_t *scratch, float **squares) {
    int64_t n = height * width, room = n + EXCESS_ROOM;
    Windows in = {.height = height, .width = width, .n = n, .rule = rule, .clean = clean};
    in.places = scratch;
    in.flat = scratch + room;
    in.rich = scratch + 2 * room;
    in.variances = (float *)(scratch + 3 * room);
    in.near = in.variances + room;
    in.values = in.variances + 2 * room;
    in.ratios = in.variances + 3 * room;
    in.keys = (uint32_t *)(in.variances + 4 * room);
    squares[0] = in.variances + 5 * room;
    squares[1] = in.variances + 6 * room;
    return in;
}

static Squares squares_of(const float *values, int64_t n) {
    return (Squares){.values = values, .largest = largest_of(values, n)};
}

/* Return the variance of a window from its mean and the mean of the squares. */
static float variance(float mean, float square) {
    float found = square - mean * mean;
    return found > 0 ? found : 0;
}

void imgdup_luma_excess(const float *moments, int64_t height, int64_t width,
                        const ImgdupExcess *rules, double clean, int64_t *scratch,
                        float *excess) {
    float *planes[2];
    Windows in = windows_of(height, width, &rules->usual, clean, scratch, planes);
    int64_t n = in.n;
    const float *a = moments, *b = a + B * n, *aa = a + AA * n, *bb = a + BB * n;
    float *means = planes[0];
    for (int64_t i = 0; i < n; i++) {
        in.variances[i] = least_of(variance(a[i], aa[i]), variance(b[i], bb[i]));
        means[i] = (b[i] - a[i]) * (b[i] - a[i]);
        excess[i] = 0;
    }
    Squares squares = squares_of(moments + DD * n, n), mean = squares_of(means, n);
    raise_unexplained(&in, &mean, &rules->means, excess);
    raise_outliers(&in, &mean, &rules->faint_means, excess);
    raise_unexplained(&in, &squares, &rules->squares, excess);
    raise_outliers(&in, &squares, &rules->outliers, excess);
    raise_outliers(&in, &squares, &rules->faint, excess);
    for (int64_t i = 0; i < n; i++)
        excess[i] = sqrtf(excess[i]);
}

void imgdup_raise_chroma(const float *luma, const float *red, const float *blue, int64_t height,
                         int64_t width, const ImgdupExcess *rules, double clean,
                         int64_t *scratch, float *excess) {
    float *planes[2], even = rules->even, even_share = rules->even_share;
    Windows in = windows_of(height, width, &rules->usual, clean, scratch, planes);
    int64_t n = in.n;
    float *changes = planes[0], *means = planes[1];
    for (int64_t i = 0; i < n; i++) {
        float light[2], colour[2]; /* of the first picture and of the second one */
        for (int k = 0; k < 2; k++) {
            int64_t at = (A + k) * n + i, square_at = (AA + k) * n + i;
            light[k] = variance(luma[at], luma[square_at]);
            colour[k] = variance(red[at], red[square_at]) + variance(blue[at], blue[square_at]);
        }
        in.variances[i] = least_of(colour[0], colour[1]) + 0.1f * least_of(light[0], light[1]);
        float x = red[B * n + i] - red[A * n + i], y = blue[B * n + i] - blue[A * n + i];
        means[i] = x * x + y * y;
        changes[i] = red[DD * n + i] + blue[DD * n + i];
        float allowed = even + even_share * larger(colour[0], colour[1]);
        excess[i] = larger(means[i] > allowed ? means[i] : 0, excess[i]);
    }
    Squares squares = squares_of(changes, n), mean = squares_of(means, n);
    raise_unexplained(&in, &squares, &rules->squares, excess);
    raise_unexplained(&in, &mean, &rules->means, excess);
}
