/* Windows of two pictures whose differences are unusual: what is usual, and what exceeds it. */
#include "imgdup.h"

#include <math.h>
#include <string.h>

enum {
    KEY_BITS = 32,
    PARTS = 256,
    TABLES = 4,
    FEW = 24, /* keys that are compared with each other */
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
    int32_t *places, *flat, *rich;
    int64_t n_thirds; /* 0 if near is not known yet */
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

/* Keys by equal parts of the range between the least and the largest one. */
typedef struct {
    uint32_t least;
    int shift; /* how wide a part is, as a power of two */
    uint32_t counts[PARTS];
} Parts;

/* Divide keys into parts, and count each; neighbours are counted in other tables, which takes less
 * time. */
static Parts parts_of(const uint32_t *keys, int64_t n) {
    Parts parts = {.least = keys[0]};
    uint32_t largest = keys[0], tables[TABLES][PARTS];
    for (int64_t i = 0; i < n; i++) {
        parts.least = keys[i] < parts.least ? keys[i] : parts.least;
        largest = keys[i] > largest ? keys[i] : largest;
    }
    while ((largest - parts.least) >> parts.shift >= PARTS)
        parts.shift++;
    memset(tables, 0, sizeof tables);
    int64_t i = 0;
    for (; i + TABLES <= n; i += TABLES)
        for (int k = 0; k < TABLES; k++)
            tables[k][(keys[i + k] - parts.least) >> parts.shift]++;
    for (; i < n; i++)
        tables[0][(keys[i] - parts.least) >> parts.shift]++;
    for (int part = 0; part < PARTS; part++)
        parts.counts[part] = tables[0][part] + tables[1][part] + tables[2][part] + tables[3][part];
    return parts;
}

/* Return the key of a few that `rank` others precede. */
static uint32_t ranked_of_few(const uint32_t *keys, int64_t n, int64_t rank) {
    for (int64_t i = 0;; i++) {
        uint32_t n_less = 0, n_equal = 0;
        for (int64_t k = 0; k < n; k++) {
            n_less += keys[k] < keys[i];
            n_equal += keys[k] == keys[i];
        }
        if (n_less <= rank && rank < n_less + n_equal)
            return keys[i];
    }
}

/* Return the key that `rank` others precede. Only keys of its part are kept, in `kept`, which may be
 * `keys`, until there are few. */
static uint32_t ranked_key(const uint32_t *keys, int64_t n, int64_t rank, Parts parts,
                           uint32_t *kept) {
    while (1) {
        uint32_t part = 0;
        for (; rank >= parts.counts[part]; part++)
            rank -= parts.counts[part];
        int64_t n_kept = 0;
        for (int64_t i = 0; i < n; i++) {
            uint32_t key = keys[i];
            kept[n_kept] = key;
            n_kept += (key - parts.least) >> parts.shift == part;
        }
        if (!parts.shift)
            return kept[0];
        if (n_kept <= FEW)
            return ranked_of_few(kept, n_kept, rank);
        keys = kept;
        n = n_kept;
        parts = parts_of(keys, n);
    }
}

static Parts parts_of_values(const float *values, int64_t n, uint32_t *keys) {
    for (int64_t i = 0; i < n; i++)
        keys[i] = key_of(values[i]);
    return parts_of(keys, n);
}

float imgdup_ranked(const float *values, int64_t n, int64_t rank, uint32_t *keys) {
    return value_of(ranked_key(keys, n, rank, parts_of_values(values, n, keys), keys));
}

/* Write the places of n values that are below a limit (or above it, if the sign is -1), and of the
 * first ones that equal it, until there are enough, which there are. There is room for one more. */
static void collect(const float *values, const int32_t *places, int64_t n, float limit,
                    const float sign, int64_t enough, int32_t *out) {
    int32_t n_below = 0; /* as wide as float, for vectors */
    int64_t n_found = 0, i = 0;
    for (int64_t k = 0; k < n; k++)
        n_below += sign * values[k] < sign * limit;
    for (int64_t n_left = enough - n_below; n_left > 0; i++) {
        out[n_found] = places[i]; /* without branches, which no processor could foresee */
        n_found += sign * values[i] <= sign * limit;
        n_left -= values[i] == limit;
    }
    for (; i < n; i++) {
        out[n_found] = places[i];
        n_found += sign * values[i] < sign * limit;
    }
}

/* Write the places of the third of the windows with the least texture and of that with the most; of
 * equal ones the first. Windows without texture say nothing about noise: they count only if nearly
 * all are such. */
static void find_thirds(Windows *in) {
    const ImgdupUsual *rule = in->rule;
    int64_t step = in->n > rule->samples ? in->n / rule->samples : 1;
    int64_t n_all = (in->n + step - 1) / step, n_chosen = 0;
    int32_t n_textured = 0; /* as wide as float, for vectors */
    for (int64_t i = 0; i < in->n; i += step)
        n_textured += in->near[i] > rule->bare;
    int only_textured = n_textured < n_all && n_textured > rule->many_bare * (double)n_all;
    for (int64_t i = 0; i < in->n; i += step) {
        in->values[n_chosen] = in->near[i];
        in->places[n_chosen] = (int32_t)i;
        n_chosen += !only_textured | (in->near[i] > rule->bare);
    }
    int64_t third = n_chosen > 3 ? n_chosen / 3 : 1;
    Parts parts = parts_of_values(in->values, n_chosen, in->keys);
    uint32_t *kept = (uint32_t *)in->ratios;
    float low = value_of(ranked_key(in->keys, n_chosen, third - 1, parts, kept));
    float high = value_of(ranked_key(in->keys, n_chosen, n_chosen - third, parts, in->keys));
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
    in.places = (int32_t *)scratch;
    in.flat = in.places + room;
    in.rich = in.places + 2 * room;
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
    float *restrict means = planes[0], *restrict variances = in.variances;
    for (int64_t i = 0; i < n; i++) {
        variances[i] = least_of(variance(a[i], aa[i]), variance(b[i], bb[i]));
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

/* Return by how much the levels of one of the pictures vary in a window. */
static inline float variance_at(const float *moments, int64_t n, int64_t i, int picture) {
    return variance(moments[(A + picture) * n + i], moments[(AA + picture) * n + i]);
}

/* Write the larger variance of the chroma of each window, and the texture: the smaller one, and a bit
 * of that of luma. */
static void write_variances(const float *luma, const float *red, const float *blue, int64_t n,
                            float *restrict most, float *restrict textures) {
    for (int64_t i = 0; i < n; i++) {
        float light = least_of(variance_at(luma, n, i, 0), variance_at(luma, n, i, 1));
        float first = variance_at(red, n, i, 0) + variance_at(blue, n, i, 0);
        float second = variance_at(red, n, i, 1) + variance_at(blue, n, i, 1);
        most[i] = larger(first, second);
        textures[i] = least_of(first, second) + 0.1f * light;
    }
}

void imgdup_raise_chroma(const float *luma, const float *red, const float *blue, int64_t height,
                         int64_t width, const ImgdupExcess *rules, double clean,
                         int64_t *scratch, float *excess) {
    float *planes[2], even = rules->even, even_share = rules->even_share;
    Windows in = windows_of(height, width, &rules->usual, clean, scratch, planes);
    int64_t n = in.n;
    float *restrict changes = planes[0], *restrict means = planes[1], *most = in.values;
    write_variances(luma, red, blue, n, most, in.variances);
    for (int64_t i = 0; i < n; i++) {
        float x = red[B * n + i] - red[A * n + i], y = blue[B * n + i] - blue[A * n + i];
        means[i] = x * x + y * y;
        changes[i] = red[DD * n + i] + blue[DD * n + i];
    }
    for (int64_t i = 0; i < n; i++) {
        float allowed = even + even_share * most[i];
        excess[i] = larger(means[i] > allowed ? means[i] : 0, excess[i]);
    }
    Squares squares = squares_of(changes, n), mean = squares_of(means, n);
    raise_unexplained(&in, &squares, &rules->squares, excess);
    raise_unexplained(&in, &mean, &rules->means, excess);
}
