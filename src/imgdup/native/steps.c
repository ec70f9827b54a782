/* Steps of least squares that move a picture over another one: their sums and their equations. */
#include "imgdup.h"
#include "lanes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    WHITE = 255,
    BYTES = WIDTH * sizeof(float), /* compared at once: those of a register */
    MOST_COUNTED = 255, /* in a byte */
    LEAST_SPREAD = 4, /* levels */
};

typedef uint8_t Bytes __attribute__((vector_size(BYTES)));

/* Count the numbers up to a limit. */
static int64_t count_up_to(const uint8_t *numbers, int64_t n, uint8_t limit) {
    int64_t count = 0, whole = n - n % BYTES;
    for (int64_t start = 0; start < whole; start += MOST_COUNTED * BYTES) {
        int64_t stop = whole - start < MOST_COUNTED * BYTES ? whole : start + MOST_COUNTED * BYTES;
        Bytes counts = {0};
        for (int64_t i = start; i < stop; i += BYTES) {
            Bytes here;
            memcpy(&here, numbers + i, sizeof here);
            counts -= (Bytes)(here <= limit); /* true is -1 */
        }
        for (int k = 0; k < BYTES; k++)
            count += counts[k];
    }
    for (int64_t i = whole; i < n; i++)
        count += numbers[i] <= limit;
    return count;
}

/* Return the smallest level up to which more than so many numbers lie, from a level on. Half of the
 * pixels often differ little, so that it lies near. */
static int level_above(const uint8_t *numbers, int64_t n, int lowest, int64_t many) {
    int low = lowest, high = lowest, step = 1;
    while (high < WHITE && count_up_to(numbers, n, (uint8_t)high) <= many) {
        low = high + 1;
        high = high + step < WHITE ? high + step : WHITE;
        step *= 2;
    }
    while (low < high) {
        int middle = (low + high) / 2;
        if (count_up_to(numbers, n, (uint8_t)middle) > many)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Return twice the median of the differences of two pictures, at least LEAST_SPREAD. */
static float spread_of(const uint8_t *a, const uint8_t *b, int64_t n, uint8_t *changes) {
    for (int64_t i = 0; i < n; i++)
        changes[i] = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
    /* The two in the middle, or one twice. */
    int lower = level_above(changes, n, 0, (n - 1) / 2);
    int upper = n % 2 ? lower : level_above(changes, n, lower, n / 2);
    return lower + upper > LEAST_SPREAD ? (float)(lower + upper) : LEAST_SPREAD;
}

/* Write what each pixel of a row counts, by its change. */
static void write_weights(const uint8_t *changes, int64_t n, float spread, float *weights) {
    for (int64_t x = 0; x < n; x++) {
        float off = (float)changes[x] / spread;
        weights[x] = 1 / (1 + off * off);
    }
}

/* What a row of a picture adds to the sums of a step; the weight is 0 behind the width. */
typedef struct {
    float *along_x, *along_y, *level, *goal, *place, *weight;
} StepRow;

/* The sums of a row, by their factors beside the weight: A and B are the slopes along x and y, X is
 * the place along x, L the level, G the goal. Those before TWICE_Y are needed times y squared, too,
 * and those before ONCE_Y times y. */
enum {
    AA, AB, BB, TWICE_Y,
    XAA = TWICE_Y, XAB, XBB, AL, BL, A, B, AG, BG, ONCE_Y,
    XXAA = ONCE_Y, XXAB, XXBB, XAL, XBL, XA, XB, XAG, XBG, LL, LG, L, G, ONE, ROW_SUMS,
};

typedef float RowSums[ROW_SUMS][LANES];

static void write_levels(const uint8_t *pixels, int64_t width, float *restrict out) {
    for (int64_t x = 0; x < width; x++)
        out[x] = pixels[x];
}

/* Write the slopes of a row along x and y, from its levels and those of the rows beside it. */
static void write_slopes(const float *above, const float *here, const float *under, int64_t width,
                         float per_row, float *restrict along_x, float *restrict along_y) {
    float half = (float)width / 2;
    along_x[0] = (here[1] - here[0]) * (float)width;
    for (int64_t x = 1; x < width - 1; x++)
        along_x[x] = (here[x + 1] - here[x - 1]) * half;
    along_x[width - 1] = (here[width - 1] - here[width - 2]) * (float)width;
    for (int64_t x = 0; x < width; x++)
        along_y[x] = (under[x] - above[x]) * per_row;
}

/* Add up the products of a row, at some lanes, that have no slope as a factor. */
static void add_levels(StepRow row, int64_t n, int lane, RowSums out) {
    Register ll = {0}, lg = {0}, l = {0}, g = {0}, one = {0};
    for (int64_t i = lane; i < n; i += LANES) {
        Register level = loaded(row.level + i), goal = loaded(row.goal + i);
        Register weight = loaded(row.weight + i), weighted = weight * level;
        ll += weighted * level;
        lg += weighted * goal;
        l += weighted;
        g += weight * goal;
        one += weight;
    }
    store(ll, out[LL] + lane);
    store(lg, out[LG] + lane);
    store(l, out[L] + lane);
    store(g, out[G] + lane);
    store(one, out[ONE] + lane);
}

/* Add up those that have the slope along x as a factor. */
static void add_along_x(StepRow row, int64_t n, int lane, RowSums out) {
    Register aa = {0}, ab = {0}, al = {0}, ag = {0}, a = {0}, xaa = {0}, xab = {0}, xal = {0},
             xag = {0}, xa = {0}, xxaa = {0}, xxab = {0};
    for (int64_t i = lane; i < n; i += LANES) {
        Register along_x = loaded(row.along_x + i), along_y = loaded(row.along_y + i);
        Register x = loaded(row.place + i), level = loaded(row.level + i);
        Register goal = loaded(row.goal + i), weighted = loaded(row.weight + i) * along_x;
        aa += weighted * along_x;
        ab += weighted * along_y;
        al += weighted * level;
        ag += weighted * goal;
        a += weighted;
        weighted *= x;
        xaa += weighted * along_x;
        xab += weighted * along_y;
        xal += weighted * level;
        xag += weighted * goal;
        xa += weighted;
        xxaa += weighted * (x * along_x);
        xxab += weighted * (x * along_y);
    }
    store(aa, out[AA] + lane);
    store(ab, out[AB] + lane);
    store(al, out[AL] + lane);
    store(ag, out[AG] + lane);
    store(a, out[A] + lane);
    store(xaa, out[XAA] + lane);
    store(xab, out[XAB] + lane);
    store(xal, out[XAL] + lane);
    store(xag, out[XAG] + lane);
    store(xa, out[XA] + lane);
    store(xxaa, out[XXAA] + lane);
    store(xxab, out[XXAB] + lane);
}

/* Add up those that have the slope along y as a factor, and not that along x. */
static void add_along_y(StepRow row, int64_t n, int lane, RowSums out) {
    Register bb = {0}, bl = {0}, bg = {0}, b = {0}, xbb = {0}, xbl = {0}, xbg = {0}, xb = {0},
             xxbb = {0};
    for (int64_t i = lane; i < n; i += LANES) {
        Register along_y = loaded(row.along_y + i), x = loaded(row.place + i);
        Register level = loaded(row.level + i), goal = loaded(row.goal + i);
        Register weighted = loaded(row.weight + i) * along_y;
        bb += weighted * along_y;
        bl += weighted * level;
        bg += weighted * goal;
        b += weighted;
        weighted *= x;
        xbb += weighted * along_y;
        xbl += weighted * level;
        xbg += weighted * goal;
        xb += weighted;
        xxbb += weighted * (x * along_y);
    }
    store(bb, out[BB] + lane);
    store(bl, out[BL] + lane);
    store(bg, out[BG] + lane);
    store(b, out[B] + lane);
    store(xbb, out[XBB] + lane);
    store(xbl, out[XBL] + lane);
    store(xbg, out[XBG] + lane);
    store(xb, out[XB] + lane);
    store(xxbb, out[XXBB] + lane);
}

/* Write, for each lane, the sums of products of a row whose place along y is a factor of them all.
 * They are added up in groups that the registers of a processor hold. */
static void add_row(StepRow row, int64_t n, RowSums out) {
    for (int lane = 0; lane < LANES; lane += WIDTH) {
        add_levels(row, n, lane, out);
        add_along_x(row, n, lane, out);
        add_along_y(row, n, lane, out);
    }
}

/* Add the sums of the lanes of a row, times 1, y and y squared as far as these are needed. */
static void add_lanes(RowSums part, double y, double sums[3][ROW_SUMS][LANES]) {
    double square = y * y;
    for (int k = 0; k < TWICE_Y; k++)
        for (int lane = 0; lane < LANES; lane++) {
            sums[0][k][lane] += (double)part[k][lane];
            sums[1][k][lane] += (double)part[k][lane] * y;
            sums[2][k][lane] += (double)part[k][lane] * square;
        }
    for (int k = TWICE_Y; k < ONCE_Y; k++)
        for (int lane = 0; lane < LANES; lane++) {
            sums[0][k][lane] += (double)part[k][lane];
            sums[1][k][lane] += (double)part[k][lane] * y;
        }
    for (int k = ONCE_Y; k < ROW_SUMS; k++)
        for (int lane = 0; lane < LANES; lane++)
            sums[0][k][lane] += (double)part[k][lane];
}

static double total_of(const double *lanes) {
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

void imgdup_step_sums(const uint8_t *taken, const uint8_t *goal, int64_t height, int64_t width,
                      int64_t stride, float *rows, uint8_t *changes, double *products,
                      double *wanted) {
    /* Which sum of a row each product of two parts comes from, and how often y is a factor. */
    static const struct {
        uint8_t sum, y;
    } FROM[STEP_PARTS][STEP_PARTS + 1] = {
        {{XXAA, 0}, {XAA, 1}, {XAA, 0}, {XXAB, 0}, {XAB, 1}, {XAB, 0}, {XAL, 0}, {XA, 0}, {XAG, 0}},
        {{0}, {AA, 2}, {AA, 1}, {XAB, 1}, {AB, 2}, {AB, 1}, {AL, 1}, {A, 1}, {AG, 1}},
        {{0}, {0}, {AA, 0}, {XAB, 0}, {AB, 1}, {AB, 0}, {AL, 0}, {A, 0}, {AG, 0}},
        {{0}, {0}, {0}, {XXBB, 0}, {XBB, 1}, {XBB, 0}, {XBL, 0}, {XB, 0}, {XBG, 0}},
        {{0}, {0}, {0}, {0}, {BB, 2}, {BB, 1}, {BL, 1}, {B, 1}, {BG, 1}},
        {{0}, {0}, {0}, {0}, {0}, {BB, 0}, {BL, 0}, {B, 0}, {BG, 0}},
        {{0}, {0}, {0}, {0}, {0}, {0}, {LL, 0}, {L, 0}, {LG, 0}},
        {{0}, {0}, {0}, {0}, {0}, {0}, {0}, {ONE, 0}, {G, 0}},
    };
    float *levels[3] = {rows, rows + stride, rows + 2 * stride}; /* of a row and those beside it */
    StepRow row = {rows + 3 * stride, rows + 4 * stride, NULL, rows + 5 * stride, rows + 6 * stride,
                   rows + 7 * stride};
    float spread = spread_of(taken, goal, height * width, changes);
    double sums[3][ROW_SUMS][LANES];
    memset(sums, 0, sizeof sums);
    for (int64_t x = 0; x < width; x++)
        row.place[x] = ((float)x + 0.5f) / (float)width;
    write_levels(taken, width, levels[0]);
    for (int64_t y = 0; y < height; y++) {
        RowSums part;
        int is_first = !y, is_last = y + 1 == height;
        const float *above = levels[(y + !is_first * 2) % 3];
        const float *under = levels[(y + !is_last) % 3];
        row.level = levels[y % 3];
        write_weights(changes + y * width, width, spread, row.weight);
        if (!is_last)
            write_levels(taken + (y + 1) * width, width, levels[(y + 1) % 3]);
        write_levels(goal + y * width, width, row.goal);
        write_slopes(above, row.level, under, width, (float)height / (is_first | is_last ? 1 : 2),
                     row.along_x, row.along_y);
        add_row(row, stride, part);
        add_lanes(part, ((double)y + 0.5) / (double)height, sums);
    }
    for (int i = 0; i < STEP_PARTS; i++) {
        wanted[i] = total_of(sums[FROM[i][STEP_PARTS].y][FROM[i][STEP_PARTS].sum]);
        for (int j = i; j < STEP_PARTS; j++)
            products[i * STEP_PARTS + j] = products[j * STEP_PARTS + i] =
                total_of(sums[FROM[i][j].y][FROM[i][j].sum]);
    }
}

void imgdup_solve(double *matrix, double *vector, int64_t n) {
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(matrix[i * n + k]) > fabs(matrix[pivot * n + k]))
                pivot = i;
        double *row = matrix + k * n, *other = matrix + pivot * n, kept = vector[k];
        for (int64_t j = k; j < n; j++) {
            double number = row[j];
            row[j] = other[j];
            other[j] = number;
        }
        vector[k] = vector[pivot];
        vector[pivot] = kept;
        for (int64_t i = k + 1; i < n; i++) {
            double factor = matrix[i * n + k] / row[k];
            for (int64_t j = k; j < n; j++)
                matrix[i * n + j] -= factor * row[j];
            vector[i] -= factor * vector[k];
        }
    }
    for (int64_t k = n - 1; k >= 0; k--) {
        for (int64_t j = k + 1; j < n; j++)
            vector[k] -= matrix[k * n + j] * vector[j];
        vector[k] /= matrix[k * n + k];
    }
}
