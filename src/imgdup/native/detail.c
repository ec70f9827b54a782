/* How much detail a picture shows: edges and frequencies, on the grid of JPEG's blocks. */
#include "imgdup.h"
#include "lanes.h"

#include <math.h>
#include <string.h>

enum {
    FREQUENCIES = DETAIL_FREQUENCIES,
    FEW = WIDTH < FREQUENCIES ? WIDTH : FREQUENCIES, /* frequencies side by side in a register */
};

typedef float Few __attribute__((vector_size(FEW * sizeof(float))));

/* A part of a plane, whose rows are so many pixels apart. */
typedef struct {
    const float *pixels;
    int64_t apart, height, width;
} Part;

/* Return by how much a change of level exceeds the mean of the changes before and after it. */
static inline float excess(float before, float here, float after, float last) {
    float change = 2 * fabsf(after - here) - fabsf(here - before) - fabsf(last - after);
    return change > 0 ? change : 0;
}

/* Add up the excesses of n pixels at each place of a block, the first of which is at place 2. The
 * levels before, beside and behind them are so many pixels apart. */
static void add_by_place(const float *at, int64_t apart, int64_t n, double *places) {
    double sums[FREQUENCIES] = {0};
    int64_t x = 0;
    for (; x + LANES <= n; x += LANES) {
        float found[LANES];
        for (int i = 0; i < LANES; i++) {
            const float *here = at + x + i;
            found[i] = excess(here[-2 * apart], here[-apart], here[0], here[apart]);
        }
        for (int i = 0; i < FREQUENCIES; i++)
            sums[i] += (double)found[i] + (double)found[i + FREQUENCIES];
    }
    for (; x < n; x++) {
        const float *here = at + x;
        sums[x % FREQUENCIES] += (double)excess(here[-2 * apart], here[-apart], here[0], here[apart]);
    }
    for (int i = 0; i < FREQUENCIES; i++)
        places[(i + 2) % FREQUENCIES] += sums[i];
}

/* Return the sum of the excesses of the pixels of a row, over those two above and the one below. */
static double row_excess(const float *row, int64_t apart, int64_t width) {
    double sum = 0;
    for (int64_t start = 0; start < width; start += CHUNK) {
        int64_t stop = start + CHUNK < width ? start + CHUNK : width, x = start;
        float part[LANES] = {0};
        for (; x + LANES <= stop; x += LANES)
            for (int i = 0; i < LANES; i++) {
                const float *at = row + x + i;
                part[i] += excess(at[-2 * apart], at[-apart], at[0], at[apart]);
            }
        for (; x < stop; x++) {
            const float *at = row + x;
            part[x % LANES] += excess(at[-2 * apart], at[-apart], at[0], at[apart]);
        }
        for (int i = 0; i < LANES; i++)
            sum += (double)part[i];
    }
    return sum;
}

/* Return the place of the largest mean, if there are enough rows or columns. */
static int64_t first_edge(const double *places, int64_t n, int64_t least) {
    if (n < least)
        return 0;
    int64_t best = 0;
    double most = -1;
    for (int64_t place = 0; place < FREQUENCIES; place++) {
        int64_t first = place < 2 ? place + FREQUENCIES : place; /* from 2 to n - 2 */
        double mean = places[place] / (double)((n - 2 - first) / FREQUENCIES + 1);
        if (mean > most) {
            most = mean;
            best = place;
        }
    }
    return best;
}

void imgdup_grid_start(const float *plane, int64_t height, int64_t width, int64_t least,
                       int64_t start[2]) {
    double rows[FREQUENCIES] = {0}, columns[FREQUENCIES] = {0};
    if (width >= least && width > 3)
        for (int64_t y = 0; y < height; y++)
            add_by_place(plane + y * width + 2, 1, width - 3, columns);
    if (height >= least)
        for (int64_t y = 2; y + 1 < height; y++)
            rows[y % FREQUENCIES] += row_excess(plane + y * width, width, width);
    start[0] = first_edge(rows, height, least);
    start[1] = first_edge(columns, width, least);
}

/* Add up the squares of the frequencies of a column of pixels, in n columns, at most CHUNK. */
static void add_column_powers(const float *pixels, int64_t apart, int64_t n, const float *cosines,
                              double *powers) {
    float part[FREQUENCIES][LANES] = {0};
    int64_t x = 0;
    for (; x + WIDTH <= n; x += WIDTH) {
        Register rows[FREQUENCIES];
        for (int i = 0; i < FREQUENCIES; i++)
            rows[i] = loaded(pixels + i * apart + x);
        for (int k = 0; k < FREQUENCIES; k++) {
            Register found = cosines[k * FREQUENCIES] * rows[0];
            for (int i = 1; i < FREQUENCIES; i++)
                found += cosines[k * FREQUENCIES + i] * rows[i];
            float *sums = part[k] + x % LANES;
            store(loaded(sums) + found * found, sums);
        }
    }
    for (; x < n; x++)
        for (int k = 0; k < FREQUENCIES; k++) {
            float found = 0;
            for (int i = 0; i < FREQUENCIES; i++)
                found += cosines[k * FREQUENCIES + i] * pixels[i * apart + x];
            part[k][x % LANES] += found * found;
        }
    for (int k = 0; k < FREQUENCIES; k++) {
        double sum = 0;
        for (int i = 0; i < LANES; i++)
            sum += (double)part[k][i];
        powers[k] += sum;
    }
}

static inline Few few(const float *from) {
    Few lanes;
    memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

/* Add up the squares of the frequencies of a row of pixels, in n rows, at most CHUNK. The cosines
 * are by place, then by frequency. */
static void add_row_powers(const float *pixels, int64_t apart, int64_t n, const float *cosines,
                           double *powers) {
    float part[LANES][FREQUENCIES] = {0};
    for (int64_t y = 0; y < n; y++) {
        const float *row = pixels + y * apart;
        for (int k = 0; k < FREQUENCIES; k += FEW) {
            Few found = few(cosines + k) * row[0];
            for (int i = 1; i < FREQUENCIES; i++)
                found += few(cosines + i * FREQUENCIES + k) * row[i];
            found = few(part[y % LANES] + k) + found * found;
            memcpy(part[y % LANES] + k, &found, sizeof found);
        }
    }
    for (int k = 0; k < FREQUENCIES; k++) {
        double sum = 0;
        for (int i = 0; i < LANES; i++)
            sum += (double)part[i][k];
        powers[k] += sum;
    }
}

/* Write the mean power of each frequency but 0, in columns and rows of FREQUENCIES pixels. */
static void write_powers(Part part, const float *cosines, double *powers) {
    enum { SIDE = FREQUENCIES };
    double of_columns[SIDE] = {0}, of_rows[SIDE] = {0};
    float by_place[SIDE * SIDE];
    int64_t height = part.height / SIDE * SIDE, width = part.width / SIDE * SIDE;
    for (int k = 0; k < SIDE; k++)
        for (int i = 0; i < SIDE; i++)
            by_place[i * SIDE + k] = cosines[k * SIDE + i];
    for (int64_t top = 0; top < height; top += SIDE)
        for (int64_t left = 0; left < width; left += CHUNK)
            add_column_powers(part.pixels + top * part.apart + left, part.apart,
                              width - left < CHUNK ? width - left : CHUNK, cosines, of_columns);
    for (int64_t left = 0; left < width; left += SIDE)
        for (int64_t top = 0; top < height; top += CHUNK)
            add_row_powers(part.pixels + top * part.apart + left, part.apart,
                           height - top < CHUNK ? height - top : CHUNK, by_place, of_rows);
    double n_blocks = (double)(height * width) / SIDE;
    for (int k = 1; k < SIDE; k++)
        powers[k - 1] = (of_columns[k] + of_rows[k]) / n_blocks / 2;
}

/* Return the share of the frequencies with detail, without looking for less than a quarter. */
static double share_of_octave(Part part, const ImgdupDetail *rules) {
    double powers[FREQUENCIES - 1], most = 0, sum = 0;
    write_powers(part, rules->cosines, powers);
    for (int k = 0; k < FREQUENCIES - 1; k++)
        powers[k] = powers[k] > rules->rounding ? powers[k] - rules->rounding : 0;
    if (powers[0] + powers[1] < rules->least_variance)
        return 1;
    for (int k = 0; k < FREQUENCIES - 1; k++)
        powers[k] *= (double)((k + 1) * (k + 1)); /* photos hold as much in each frequency */
    for (int k = 0; k < 3; k++)
        most = powers[k] > most ? powers[k] : most;
    for (int k = 1; k < FREQUENCIES - 1; k++) {
        double share = powers[k] / most / rules->least_share;
        sum += share < 1 ? share : 1;
    }
    return sum / (FREQUENCIES - 2);
}

/* Average squares of two pixels a side. */
static Part halved(Part part, float *out) {
    Part half = {out, part.width / 2, part.height / 2, part.width / 2};
    for (int64_t y = 0; y < half.height; y++) {
        const float *top = part.pixels + 2 * y * part.apart, *below = top + part.apart;
        for (int64_t x = 0; x < half.width; x++)
            out[y * half.width + x] =
                ((top[2 * x] + below[2 * x]) + (top[2 * x + 1] + below[2 * x + 1])) / 4;
    }
    return half;
}

double imgdup_detail_share(const float *plane, int64_t height, int64_t width,
                           const ImgdupDetail *rules, float *halves) {
    int64_t start[2], least = rules->min_side;
    double share = 1;
    imgdup_grid_start(plane, height, width, least, start);
    Part part = {plane + start[0] * width + start[1], width, height - start[0], width - start[1]};
    while (part.height >= least && part.width >= least) {
        double found = share_of_octave(part, rules);
        if (found >= rules->sharp)
            return share * found;
        share /= 2;
        part = halved(part, halves);
        halves += part.height * part.width;
    }
    return share;
}
