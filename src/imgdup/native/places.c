/* Find how one gray picture, the part, lies in another, the whole: search it at several sizes, then
 * move it by least squares. */
#include "imgdup.h"
#include "lanes.h"

#include <math.h>
#include <string.h>

enum {
    SIDE = SEARCH_SIDE,
    PLACES = WIDTH < 8 ? WIDTH : 8, /* of a row, that are correlated at once, ... */
    ROWS = 8, FEW_ROWS = 4,         /* ... and of so many rows */
    STRIDE = SIDE + PLACES,
    SUMS = SIDE + 1,
    PEAKS = 2,    /* likely places that the reduced pictures show at each size */
    REACH = 3,    /* pixels; the place is searched so far around such a place */
    STRETCH = 256, /* pixels of a row that are taken from the whole at once */
    BITS = 8,
    LOW = (1 << BITS) - 1,
    RGB = 3, PIXEL = 4, /* channels; those of a vector */
    MIDDLE = 128, /* levels are taken from here, so that float holds sums more exactly */
};

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static const double UNLIKELIER = 0.15; /* correlation below the best, of places not looked at */
static const double TOLD_APART = 0.001; /* correlation; peaks that differ by less may be anywhere */
static const float NOWHERE = -2;       /* less than any correlation */
static const double LEAST_GAIN = 0.1;  /* of contrast */
static const double LARGEST_STEP = 0.2, UNMOVED = 0.02; /* of a side; pixels */

typedef float Places __attribute__((vector_size(PLACES * sizeof(float))));
typedef float Pixel __attribute__((vector_size(PIXEL * sizeof(float))));

/* A picture that is searched: its levels, zero around them, and their sums and those of their
 * squares over all pixels above and to the left of a corner. */
typedef struct {
    int64_t height, width;
    float levels[(SIDE + ROWS) * STRIDE];
    int32_t sums[SUMS * SUMS], squares[SUMS * SUMS];
} Searched;

/* A picture to search for: its levels less their mean, and the root of the sum of their squares. */
typedef struct {
    int64_t height, width;
    float levels[SIDE * SIDE];
    double spread;
} Template;

typedef struct {
    double value; /* correlation */
    int64_t y, x;
} Peak;

/* A picture by the sums of each column over all pixels above. */
typedef struct {
    const uint32_t *sums; /* (height + 1, width) */
    int64_t height, width;
} Sums;

/* The memory of a search, before that for the part. */
typedef struct {
    Searched whole, half;
    Template part;
    float map[SIDE * SIDE];
    uint32_t sums[SUMS * SIDE];
    uint8_t pixels[SIDE * SIDE];
    uint8_t largest[SIDE * SIDE]; /* the part at the first size, ... */
    const int64_t *first;         /* ... which is this one */
} Memory;

int64_t imgdup_search_scratch(int64_t height, int64_t width) {
    int64_t n_sums = (height + 1) * width, n_row = larger(width, SIDE) + 1;
    return (int64_t)sizeof(Memory) + (n_sums + 3 * n_row) * (int64_t)sizeof(uint32_t);
}

static void add_columns(const uint8_t *pixels, int64_t height, int64_t width, uint32_t *sums) {
    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int64_t i = 0; i < height * width; i++)
        sums[width + i] = sums[i] + pixels[i];
}

/* Rows with room for one more pixel: a row of the output before it is shrunk along x, the sums of
 * all pixels before each one, and the sums of the columns down to the row. */
typedef struct {
    uint32_t *levels, *sums, *columns;
} Row;

/* Where the pixels of a shrunk row end: behind whole pixels, and a part of the next one. */
typedef struct {
    int32_t whole[SIDE];
    uint32_t part[SIDE];
} Ends;

static void write_ends(int64_t width, int64_t out_width, Ends *ends) {
    for (int64_t x = 0; x < out_width; x++) {
        ends->whole[x] = (int32_t)((x + 1) * width / out_width);
        ends->part[x] = (uint32_t)((x + 1) * width % out_width);
    }
}

/* Write the row of the output that ends at a row of the input, and a part of the next one. What is
 * too large for the sums is too large for their differences as well, and so drops out. */
static void write_levels(Sums from, int64_t bottom, uint32_t part, uint32_t whole, Row row) {
    const uint32_t *here = from.sums + bottom * from.width;
    const uint32_t *next = bottom < from.height ? here + from.width : here;
    for (int64_t x = 0; x < from.width; x++) {
        uint32_t column = here[x] * (whole - part) + next[x] * part;
        row.levels[x] = column - row.columns[x];
        row.columns[x] = column;
    }
    row.levels[from.width] = 0;
    row.sums[0] = 0;
    for (int64_t x = 0; x < from.width; x++)
        row.sums[x + 1] = row.sums[x] + row.levels[x];
}

/* Shrink a row along x. */
static void shrink_row(Row row, const Ends *ends, int32_t out_width, double area, uint8_t *out) {
    uint32_t sums[SIDE + 1], levels[SIDE];
    double share = 1 / area, half = area / 2 + 0.25; /* the quarter outweighs inexact products */
    for (int32_t x = 0; x < out_width; x++) {
        sums[x + 1] = row.sums[ends->whole[x]];
        levels[x] = row.levels[ends->whole[x]];
    }
    sums[0] = 0;
    for (int32_t x = 0; x < out_width; x++)
        sums[x + 1] = sums[x + 1] * (uint32_t)out_width + levels[x] * ends->part[x];
    for (int32_t x = 0; x < out_width; x++)
        out[x] = (uint8_t)(int32_t)(((double)(sums[x + 1] - sums[x]) + half) * share);
}

/* Shrink a picture to the rounded averages of equal areas, as `imgdup_shrink`, from its sums. */
static void shrink(Sums from, int64_t out_height, int64_t out_width, Row row, uint8_t *out) {
    double area = (double)from.height * (double)from.width;
    Ends ends;
    write_ends(from.width, out_width, &ends);
    memset(row.columns, 0, (size_t)from.width * sizeof *row.columns);
    for (int64_t y = 1; y <= out_height; y++, out += out_width) {
        write_levels(from, y * from.height / out_height,
                     (uint32_t)(y * from.height % out_height), (uint32_t)out_height, row);
        shrink_row(row, &ends, (int32_t)out_width, area, out);
    }
}

static void fill_searched(const uint8_t *pixels, int64_t height, int64_t width, Searched *in) {
    in->height = height;
    in->width = width;
    memset(in->levels, 0, sizeof in->levels);
    memset(in->sums, 0, sizeof in->sums);
    memset(in->squares, 0, sizeof in->squares);
    for (int64_t y = 0; y < height; y++) {
        int32_t sum = 0, square = 0;
        for (int64_t x = 0; x < width; x++) {
            int32_t level = pixels[y * width + x];
            in->levels[y * STRIDE + x] = (float)(level - MIDDLE);
            sum += level;
            square += level * level;
            in->sums[(y + 1) * SUMS + x + 1] = in->sums[y * SUMS + x + 1] + sum;
            in->squares[(y + 1) * SUMS + x + 1] = in->squares[y * SUMS + x + 1] + square;
        }
    }
}

static void fill_template(const uint8_t *pixels, int64_t height, int64_t width, Template *part) {
    int64_t n = height * width, sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += pixels[i];
        square += (int64_t)pixels[i] * pixels[i];
    }
    float mean = (float)sum / (float)n;
    for (int64_t i = 0; i < n; i++)
        part->levels[i] = (float)pixels[i] - mean;
    part->height = height;
    part->width = width;
    part->spread = sqrt((double)(n * square - sum * sum) / (double)n);
}

/* Add up the products of a part with n_rows x PLACES places of the whole; this is the first one. */
static inline void multiply(const Template *part, const float *levels, int n_rows,
                            float products[ROWS][PLACES]) {
    Places sums[ROWS] = {{0}};
    const float *weight = part->levels;
    for (int64_t y = 0; y < part->height; y++, levels += STRIDE)
        for (int64_t x = 0; x < part->width; x++, weight++)
            for (int row = 0; row < n_rows; row++) {
                Places here;
                memcpy(&here, levels + row * STRIDE + x, sizeof here);
                sums[row] += *weight * here;
            }
    for (int row = 0; row < n_rows; row++)
        memcpy(products[row], sums + row, sizeof *sums);
}

/* Turn products of a part with n places of a row into correlations; flat windows have none. */
static void write_correlations(const Searched *in, const Template *part, int64_t y, int64_t x,
                               int32_t n, const float *products, float *out) {
    double pixels = (double)(part->height * part->width);
    const int32_t *sums = in->sums + y * SUMS + x, *squares = in->squares + y * SUMS + x;
    int64_t under = part->height * SUMS, right = part->width;
    for (int32_t i = 0; i < n; i++) {
        double sum = sums[under + right + i] - sums[under + i] - sums[right + i] + sums[i];
        double square = squares[under + right + i] - squares[under + i] - squares[right + i] +
                        squares[i];
        double spread = pixels * square - sum * sum; /* whole numbers, exact in double */
        double found = (double)products[i] / (part->spread * sqrt(spread / pixels));
        found = found < 1 ? found : 1;
        out[i] = (float)(spread > 0 ? found : 0);
    }
}

/* Write the correlations of a part with n_rows x n_columns places of the whole. */
static void correlate(const Searched *in, const Template *part, int64_t top, int64_t left,
                      int64_t n_rows, int64_t n_columns, float *map) {
    for (int64_t y = 0; y < n_rows; y += ROWS)
        for (int64_t x = 0; x < n_columns; x += PLACES) {
            float products[ROWS][PLACES];
            const float *levels = in->levels + (top + y) * STRIDE + left + x;
            if (n_rows - y > FEW_ROWS)
                multiply(part, levels, ROWS, products);
            else
                multiply(part, levels, FEW_ROWS, products);
            int32_t n = (int32_t)smaller(PLACES, n_columns - x);
            for (int64_t j = y; j < n_rows && j < y + ROWS; j++)
                write_correlations(in, part, top + j, left + x, n, products[j - y],
                                   map + j * n_columns + x);
        }
}

/* Return the largest element of a map, the first of equal ones. */
static Peak peak_of(const float *map, int64_t n_rows, int64_t n_columns) {
    int64_t best = 0;
    for (int64_t i = 1; i < n_rows * n_columns; i++)
        best = map[i] > map[best] ? i : best;
    return (Peak){(double)map[best], best / n_columns, best % n_columns};
}

/* Write the places where a part is likely; each one is apart from the others. */
static void find_peaks(float *map, int64_t n_rows, int64_t n_columns, Peak *peaks) {
    for (int k = 0; k < PEAKS; k++) {
        Peak peak = peaks[k] = peak_of(map, n_rows, n_columns);
        for (int64_t y = peak.y - 1; y <= peak.y + 1; y++)
            for (int64_t x = peak.x - 1; x <= peak.x + 1; x++)
                if (y >= 0 && y < n_rows && x >= 0 && x < n_columns)
                    map[y * n_columns + x] = NOWHERE;
    }
}

/* Search the part at half of a size in the reduced whole, everywhere. */
static void look_roughly(Memory *memory, Row row, Sums base, const int64_t *size, Peak *peaks) {
    const Searched *in = &memory->half;
    int64_t height = smaller((size[0] + 1) / 2, in->height);
    int64_t width = smaller((size[1] + 1) / 2, in->width);
    int64_t n_rows = in->height - height + 1, n_columns = in->width - width + 1;
    shrink(base, height, width, row, memory->pixels);
    fill_template(memory->pixels, height, width, &memory->part);
    if (!memory->part.spread) {
        for (int k = 0; k < PEAKS; k++)
            peaks[k] = (Peak){k ? NOWHERE : 1, 0, 0}; /* one flat area is like another */
        return;
    }
    correlate(in, &memory->part, 0, 0, n_rows, n_columns, memory->map);
    find_peaks(memory->map, n_rows, n_columns, peaks);
}

/* Search the part at a size in the whole: around its likely places or, if the reduced pictures do
 * not tell these apart, everywhere. */
static Peak look_closely(Memory *memory, Row row, Sums sums, const int64_t *size,
                         const Peak *peaks, double least) {
    const Searched *in = &memory->whole;
    int64_t most_y = in->height - size[0], most_x = in->width - size[1];
    Peak best = {NOWHERE, 0, 0};
    if (size != memory->first)
        shrink(sums, size[0], size[1], row, memory->pixels);
    fill_template(size == memory->first ? memory->largest : memory->pixels, size[0], size[1],
                  &memory->part);
    if (!memory->part.spread)
        return (Peak){1, 0, 0};
    int64_t reach = peaks[PEAKS - 1].value > peaks[0].value - TOLD_APART ? SIDE : REACH;
    for (int k = 0; k < PEAKS && (!k || (reach == REACH && peaks[k].value >= least)); k++) {
        int64_t y = (2 * peaks[k].y * in->height / memory->half.height + 1) / 2;
        int64_t x = (2 * peaks[k].x * in->width / memory->half.width + 1) / 2;
        int64_t top = smaller(larger(y - reach, 0), most_y);
        int64_t left = smaller(larger(x - reach, 0), most_x);
        int64_t n_rows = smaller(y + reach, most_y) - top + 1;
        int64_t n_columns = smaller(x + reach, most_x) - left + 1;
        correlate(in, &memory->part, top, left, n_rows, n_columns, memory->map);
        Peak found = peak_of(memory->map, n_rows, n_columns);
        if (found.value > best.value)
            best = (Peak){found.value, top + found.y, left + found.x};
    }
    return best;
}

static void fill_memory(Memory *memory, const uint8_t *whole, int64_t height, int64_t width,
                        Row row) {
    int64_t half_height = (height + 1) / 2, half_width = (width + 1) / 2;
    add_columns(whole, height, width, memory->sums);
    shrink((Sums){memory->sums, height, width}, half_height, half_width, row, memory->pixels);
    fill_searched(whole, height, width, &memory->whole);
    fill_searched(memory->pixels, half_height, half_width, &memory->half);
}

/* Keep the better of two places, of equal ones that at the larger size. */
static void choose(Peak found, int64_t i, Peak *best, int64_t *place) {
    if (found.value > best->value || (found.value == best->value && i < place[0])) {
        *best = found;
        place[0] = i;
        place[1] = found.x;
        place[2] = found.y;
    }
}

double imgdup_search(const uint8_t *whole, int64_t height, int64_t width, const uint8_t *pixels,
                     int64_t part_height, int64_t part_width, const int64_t *sizes,
                     int64_t n_sizes, void *scratch, int64_t *place) {
    Memory *memory = scratch;
    uint32_t *part_sums = (uint32_t *)(memory + 1);
    uint32_t *levels = part_sums + (part_height + 1) * part_width;
    int64_t n_row = larger(part_width, SIDE) + 1;
    Row row = {levels, levels + n_row, levels + 2 * n_row};
    Peak peaks[SEARCH_SIZES][PEAKS], best = {NOWHERE, 0, 0};
    Sums part = {part_sums, part_height, part_width};
    Sums base = {memory->sums, sizes[0], sizes[1]};
    double likeliest = NOWHERE;
    fill_memory(memory, whole, height, width, row);
    add_columns(pixels, part_height, part_width, part_sums);
    memory->first = sizes;
    shrink(part, sizes[0], sizes[1], row, memory->largest);
    add_columns(memory->largest, sizes[0], sizes[1], memory->sums);
    for (int64_t i = 0; i < n_sizes; i += 2) {
        look_roughly(memory, row, base, sizes + 2 * i, peaks[i]);
        likeliest = peaks[i][0].value > likeliest ? peaks[i][0].value : likeliest;
    }
    double least = likeliest - UNLIKELIER;
    for (int64_t i = 0; i < n_sizes; i += 2)
        if (peaks[i][0].value >= least)
            choose(look_closely(memory, row, part, sizes + 2 * i, peaks[i], least), i, &best,
                   place);
    int64_t middle = place[0];
    for (int64_t i = middle - 1; i <= middle + 1; i += 2)
        if (i >= 0 && i < n_sizes) {
            look_roughly(memory, row, base, sizes + 2 * i, peaks[i]);
            choose(look_closely(memory, row, part, sizes + 2 * i, peaks[i], least), i, &best,
                   place);
        }
    return best.value;
}

/* A picture that is moved over another one, and how: the transformation takes a pixel of the other
 * one to (x, y) of this one. */
typedef struct {
    const uint32_t *corners; /* each pixel, and those to the right of it, below, and beyond both */
    int64_t height, width;
    double matrix[6];
} Moved;

/* Write where some pixels of a row lie along one axis: the pixel before, and how far behind it. */
static void write_places(double start, double step, int32_t n, int64_t side, int32_t *before,
                         float *rest) {
    float first = (float)start, more = (float)step, last = (float)(side - 1);
    int32_t most = side > 1 ? (int32_t)side - 2 : 0;
    for (int32_t i = 0; i < n; i++) {
        float place = first + more * (float)i;
        place = place > 0 ? place : 0; /* beyond the edges, these are repeated */
        place = place < last ? place : last;
        int32_t whole = (int32_t)place;
        before[i] = whole < most ? whole : most;
        rest[i] = place - (float)before[i];
    }
}

/* Write each pixel together with its neighbours, which are then found at one place. */
static void write_corners(const uint8_t *pixels, int64_t height, int64_t width,
                          uint32_t *corners) {
    for (int64_t y = 0; y + 1 < height; y++) {
        const uint8_t *here = pixels + y * width, *under = here + width;
        for (int64_t x = 0; x + 1 < width; x++)
            corners[y * width + x] = here[x] | (uint32_t)here[x + 1] << BITS |
                                     (uint32_t)under[x] << (2 * BITS) |
                                     (uint32_t)under[x + 1] << (3 * BITS);
    }
}

/* Write what a picture shows at n pixels of a row of the other one, from the first one on. */
static void take_stretch(const Moved *from, int64_t first, int64_t y, int32_t n, uint8_t *out) {
    int32_t x[STRETCH], row[STRETCH], width = (int32_t)from->width;
    float right[STRETCH], under[STRETCH];
    uint32_t corners[STRETCH];
    const double *m = from->matrix;
    double along = (double)first, down = (double)y;
    write_places(m[0] * along + m[1] * down + m[2], m[0], n, from->width, x, right);
    write_places(m[3] * along + m[4] * down + m[5], m[3], n, from->height, row, under);
    for (int32_t i = 0; i < n; i++)
        x[i] += row[i] * width;
    for (int32_t i = 0; i < n; i++)
        corners[i] = from->corners[x[i]];
    for (int32_t i = 0; i < n; i++) {
        int32_t four = (int32_t)corners[i]; /* processors convert numbers with a sign faster */
        float a = (float)(four & LOW), b = (float)(four >> BITS & LOW);
        float c = (float)(four >> (2 * BITS) & LOW), d = (float)(four >> (3 * BITS) & LOW);
        float up = a + (b - a) * right[i], down_here = c + (d - c) * right[i];
        out[i] = (uint8_t)(int32_t)(up + (down_here - up) * under[i] + 0.5f);
    }
}

static void take(const Moved *from, int64_t height, int64_t width, uint8_t *out) {
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x += STRETCH)
            take_stretch(from, x, y, (int32_t)smaller(STRETCH, width - x), out + y * width + x);
}

/* Find the small movement that takes one picture nearer to another, whatever the brightness and
 * contrast; return 0 if there is none. */
static int find_step(const uint8_t *taken, const uint8_t *goal, int64_t height, int64_t width,
                     float *rows, uint8_t *changes, double step[6]) {
    double products[STEP_PARTS * STEP_PARTS], wanted[STEP_PARTS];
    imgdup_step_sums(taken, goal, height, width, (width + STEP_LANES - 1) / STEP_LANES * STEP_LANES,
                     rows, changes, products, wanted);
    for (int i = 0; i < STEP_PARTS; i++)
        products[i * (STEP_PARTS + 1)] = products[i * (STEP_PARTS + 1)] * (1 + 1e-6) + 1e-9;
    imgdup_solve(products, wanted, STEP_PARTS);
    double gain = wanted[6];
    if (!isfinite(gain) || fabs(gain) < LEAST_GAIN)
        return 0;
    for (int i = 0; i < 6; i++) {
        step[i] = wanted[i] / gain;
        if (!isfinite(step[i]) || fabs(step[i]) > LARGEST_STEP)
            return 0;
    }
    return 1;
}

/* Turn shares of pictures into places of pixels, whose centres lie at 0, 1, 2, ... */
static void set_places(const double matrix[6], int64_t height, int64_t width,
                       int64_t source_height, int64_t source_width, double out[6]) {
    double sides[2] = {(double)source_width, (double)source_height};
    for (int i = 0; i < 2; i++) {
        double x = matrix[3 * i] / (double)width, y = matrix[3 * i + 1] / (double)height;
        out[3 * i] = sides[i] * x;
        out[3 * i + 1] = sides[i] * y;
        out[3 * i + 2] = sides[i] * (x / 2 + y / 2 + matrix[3 * i + 2]) - 0.5;
    }
}

void imgdup_take(const uint8_t *source, int64_t source_height, int64_t source_width,
                 int64_t height, int64_t width, const double *matrix, uint32_t *corners,
                 uint8_t *taken) {
    Moved from = {corners, source_height, source_width, {0}};
    write_corners(source, source_height, source_width, corners);
    set_places(matrix, height, width, source_height, source_width, from.matrix);
    take(&from, height, width, taken);
}

void imgdup_refine(const uint32_t *corners, int64_t source_height, int64_t source_width,
                   const uint8_t *goal, int64_t height, int64_t width, int64_t n_rounds,
                   float *rows, uint8_t *changes, double *matrix, uint8_t *taken) {
    Moved from = {corners, source_height, source_width, {0}};
    double step[6];
    for (int64_t round = 0; round < n_rounds; round++) {
        if (!find_step(taken, goal, height, width, rows, changes, step))
            return;
        double largest = 0;
        for (int i = 0; i < 2; i++) {
            double *m = matrix + 3 * i, x = m[0], y = m[1];
            m[0] += x * step[0] + y * step[3];
            m[1] += x * step[1] + y * step[4];
            m[2] += x * step[2] + y * step[5];
        }
        for (int i = 0; i < 6; i++)
            largest = fabs(step[i]) > largest ? fabs(step[i]) : largest;
        set_places(matrix, height, width, source_height, source_width, from.matrix);
        take(&from, height, width, taken);
        if (largest * (double)larger(height, width) < UNMOVED)
            return;
    }
}

/* A part in a whole: where its columns lie, the matrix to the whole, and how far beyond is inside. */
typedef struct {
    int64_t width;
    const double *places, *matrix;
    double slack;
} Part;

static inline int is_inside(const Part *part, int64_t x, double y) {
    const double *m = part->matrix, slack = part->slack;
    double along = m[0] * part->places[x] + m[1] * y + m[2];
    double down = m[3] * part->places[x] + m[4] * y + m[5];
    return (along >= -slack) & (along <= 1 + slack) & (down >= -slack) & (down <= 1 + slack);
}

/* Write the first pixel of a row that lies inside, and the one behind the last. */
static void find_ends(const Part *part, double y, uint8_t *row, int32_t ends[2]) {
    int32_t n = 0;
    for (int64_t x = 0; x < part->width; x++)
        row[x] = (uint8_t)is_inside(part, x, y);
    for (int64_t x = 0; x < part->width; x++)
        n += row[x];
    const uint8_t *first = n ? memchr(row, 1, (size_t)part->width) : row;
    ends[0] = (int32_t)(first - row);
    ends[1] = ends[0] + n;
}

/* Return whether a row has these ends; there are pixels between them. */
static int has_ends(const Part *part, double y, const int32_t ends[2]) {
    return is_inside(part, ends[0], y) && is_inside(part, ends[1] - 1, y) &&
           (!ends[0] || !is_inside(part, ends[0] - 1, y)) &&
           (ends[1] == part->width || !is_inside(part, ends[1], y));
}

/* Places, and their roundings, grow or fall along a row, so that pixels inside lie together. */
int64_t imgdup_inside(int64_t height, int64_t width, const double *matrix, double slack,
                      double *places, uint8_t *row, int32_t *ends, int64_t box[4]) {
    Part part = {width, places, matrix, slack};
    int64_t n_inside = 0;
    int32_t found[2] = {0, 0};
    box[0] = width;
    box[1] = height;
    box[2] = box[3] = 0;
    for (int64_t x = 0; x < width; x++)
        places[x] = ((double)x + 0.5) / (double)width;
    for (int64_t i = 0; i < height; i++) {
        double y = ((double)i + 0.5) / (double)height;
        if (found[0] == found[1] || !has_ends(&part, y, found))
            find_ends(&part, y, row, found);
        ends[2 * i] = found[0];
        ends[2 * i + 1] = found[1];
        if (found[0] == found[1])
            continue;
        n_inside += found[1] - found[0];
        box[0] = smaller(box[0], found[0]);
        box[1] = smaller(box[1], i);
        box[2] = larger(box[2], found[1]);
        box[3] = i + 1;
    }
    return n_inside;
}

/* A picture of some channels, as numbers; numbers behind its end may be read. */
typedef struct {
    const float *levels;
    int64_t height, width, channels;
    double matrix[6]; /* as that of `Moved` */
} Colours;

static inline Pixel pixel_at(const float *levels) {
    Pixel pixel;
    memcpy(&pixel, levels, sizeof pixel);
    return pixel;
}

/* Write what a picture shows at n pixels of a row of the other one, and some numbers behind. */
static inline void mix_stretch(const Colours *from, int64_t first, int64_t y, int32_t n,
                               const int64_t channels, float *out) {
    int32_t x[STRETCH], row[STRETCH], stride = (int32_t)(from->width * channels);
    float right[STRETCH], under[STRETCH];
    const double *m = from->matrix;
    double along = (double)first, down = (double)y;
    int64_t below = from->height > 1 ? stride : 0, beside = from->width > 1 ? channels : 0;
    write_places(m[0] * along + m[1] * down + m[2], m[0], n, from->width, x, right);
    write_places(m[3] * along + m[4] * down + m[5], m[3], n, from->height, row, under);
    for (int32_t i = 0; i < n; i++)
        x[i] = x[i] * (int32_t)channels + row[i] * stride;
    for (int32_t i = 0; i < n; i++) {
        const float *here = from->levels + x[i];
        Pixel a = pixel_at(here), b = pixel_at(here + beside);
        Pixel c = pixel_at(here + below), d = pixel_at(here + below + beside);
        Pixel up = a + (b - a) * right[i], down_here = c + (d - c) * right[i];
        Pixel mixed = up + (down_here - up) * under[i];
        memcpy(out + i * channels, &mixed, sizeof mixed);
    }
}

static void round_levels(const float *levels, int64_t n, uint8_t *restrict out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = (uint8_t)(int32_t)(levels[i] + 0.5f);
}

/* Write the rounded levels of n pixels of a row. */
static void show_row(const Colours *from, int64_t first, int64_t y, int64_t n, uint8_t *out) {
    float levels[(STRETCH + 1) * PIXEL];
    for (int64_t done = 0; done < n; done += STRETCH) {
        int32_t some = (int32_t)smaller(STRETCH, n - done);
        if (from->channels == RGB)
            mix_stretch(from, first + done, y, some, RGB, levels);
        else
            mix_stretch(from, first + done, y, some, from->channels, levels);
        round_levels(levels, some * from->channels, out + done * from->channels);
    }
}

void imgdup_cut_out(const uint8_t *whole, int64_t whole_height, int64_t whole_width,
                    const uint8_t *part, int64_t height, int64_t width, int64_t channels,
                    const double *matrix, const int32_t *ends, const int64_t box[4], float *levels,
                    uint8_t *taken) {
    Colours from = {levels, whole_height, whole_width, channels, {0}};
    set_places(matrix, height, width, whole_height, whole_width, from.matrix);
    int64_t n_levels = whole_height * whole_width * channels;
    for (int64_t i = 0; i < n_levels; i++)
        levels[i] = whole[i];
    memset(levels + n_levels, 0, PIXEL * sizeof *levels);
    for (int64_t y = box[1]; y < box[3]; y++) {
        int64_t left = smaller(larger(ends[2 * y], box[0]), box[2]);
        int64_t right = larger(smaller(ends[2 * y + 1], box[2]), left);
        const uint8_t *theirs = part + y * width * channels;
        memcpy(taken, theirs + box[0] * channels, (size_t)((left - box[0]) * channels));
        taken += (left - box[0]) * channels;
        show_row(&from, left, y, right - left, taken);
        taken += (right - left) * channels;
        memcpy(taken, theirs + right * channels, (size_t)((box[2] - right) * channels));
        taken += (box[2] - right) * channels;
    }
}
