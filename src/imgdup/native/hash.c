/* Gray pixels -> perceptual hashes and quality; see imgdup.h.
 *
 * Every hash compares the numbers of a grid. The grid is `rows * pixels * columns^T`: first the
 * rows of the picture are weighted (each line of the grid has a strip of rows), then the columns.
 * The picture is processed in tiles of some columns and bands of some lines, so that the data stays
 * in the cache.
 */
#include "imgdup.h"
#include "lines.h"

#include <math.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the order of bytes in a word must be that of x86-64 and arm64"
#endif

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* As many numbers as a register holds, added and multiplied independently. */
#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif
typedef double Vector __attribute__((vector_size(LANES * sizeof(double))));

enum {
    TILE = 256,         /* most columns of the picture weighted at a time */
    BAND = 8,           /* lines of rows weighted at a time; each number of lines is a multiple */
    BLOCK = 32,         /* columns of a tile weighted at once */
    WAVES = LANES > 2 ? 16 : 8, /* lines multiplied with waves at once */
    MAX_SIDE = 16,      /* of the square that 256 bits fill */
    TINY_SIDE = 16,     /* pixels; with a shorter side, the quality is 0 */
    MAX_QUALITY = 100,
    PDQ_GRADIENTS = 90, /* sum of differences, in whole percent, for one point of quality */
    CLEAR = 96,         /* least number of clear coefficients; with fewer, the quality is 0 */
    GOOD_QUALITY = 50,  /* least quality of a picture that is compared by its match hash */
    FLAT = 5,           /* gray levels; the pixels of a border differ less from its mean */
    LEAST_TRIMMED = 64, /* a thinner border than a 64th of the side changes the hash little */
    LEAST_INNER = 4,    /* what a border encloses is longer than a quarter of the side */
    STRIP = 16,         /* pixels of a border compared at once */
    MOST_SUMMED = 256,  /* so many differences of gray levels fit into 16 bits */
};

static const double PERCENT = 100.0 / 255 * (1 + 1e-9); /* whole percents survive rounding */
static const double HALF = 0.5 + 1e-5; /* gray levels: values this close to a half are rounded up */
static const double PER_UNIT = 1e6;    /* coefficients equal to a millionth are equal */
static const double CLEAR_LEVEL = 1;   /* gray levels; rounding pixels changes a coefficient less */

/* cos(i * pi / 128) for i from 0 to 64. */
static const double COSINES[65] = {
#include "cosines.h"
};

typedef struct {
    Lines rows, columns, wide_columns;
    float *row_weights;                  /* the weights of rows, if they are whole numbers */
    double *slopes;
    union {                              /* the lines of a band, twice: (BAND, TILE) */
        float of_floats[2][BAND * TILE];
        double of_doubles[2][BAND * TILE];
    };
    float wide_lines[2][BAND * TILE];    /* the sums of the lines of each band, twice */
    double turned[TILE * BAND];          /* the same lines, transposed */
    double grid[MAX_LINES][MAX_LINES];   /* (lines of columns, lines of rows) */
    double wide_grid[9][MAX_LINES];      /* of the 8 x 9 areas of the dHash */
    double unit;                         /* of the grid in gray levels */
    double folded[2][MAX_LINES / 2][MAX_LINES];
    double half[MAX_LINES][MAX_SIDE];
    double folded_half[2][MAX_LINES / 2][MAX_SIDE];
    double waves[2][MAX_SIDE + 1][MAX_LINES / 2]; /* of 32 lines and of 64, (frequencies, lines) */
} Work;

/* Add up the weighted rows of one line in n columns: sums (n,). The sums of a block of columns, whose
 * number is constant, stay in registers; the last block may overlap the previous one. */
#define DEFINE_WEIGH(NAME, PIXEL, SUM)                                                             \
    static ALWAYS_INLINE void NAME##_columns(                                                      \
        const char *restrict pixels, int64_t row_stride, const SUM *restrict weights,              \
        int64_t n_rows, int n, SUM *restrict sums) {                                               \
        for (int c = 0; c < n; c++)                                                                \
            sums[c] = weights[0] * (SUM)((const PIXEL *)pixels)[c];                                \
        for (int64_t k = 1; k < n_rows; k++) {                                                     \
            const PIXEL *row = (const PIXEL *)(pixels + k * row_stride);                           \
            SUM weight = weights[k];                                                               \
            for (int c = 0; c < n; c++)                                                            \
                sums[c] += weight * (SUM)row[c];                                                   \
        }                                                                                          \
    }                                                                                              \
    static void NAME(const PIXEL *pixels, int64_t row_stride, const SUM *weights, int64_t n_rows, \
                     int n, SUM *sums) {                                                           \
        if (n < BLOCK) {                                                                           \
            NAME##_columns((const char *)pixels, row_stride, weights, n_rows, n, sums);            \
            return;                                                                                \
        }                                                                                          \
        for (int c = 0; c < n; c += BLOCK) {                                                       \
            c = c > n - BLOCK ? n - BLOCK : c;                                                     \
            NAME##_columns((const char *)(pixels + c), row_stride, weights, n_rows, BLOCK,         \
                           sums + c);                                                              \
        }                                                                                          \
    }

DEFINE_WEIGH(weigh_bytes, uint8_t, float)
DEFINE_WEIGH(weigh_bytes_long, uint8_t, double)
DEFINE_WEIGH(weigh_floats, float, double)

/* Let the numbers of two lines of n alternate: to (2 n,). */
#define DEFINE_ALTERNATE(NAME, NUMBER, RESULT)                                                     \
    static void NAME(const NUMBER *restrict even, const NUMBER *restrict odd, int n,               \
                     RESULT *restrict to) {                                                        \
        for (int c = 0; c < n; c++) {                                                              \
            to[2 * c] = (RESULT)even[c];                                                           \
            to[2 * c + 1] = (RESULT)odd[c];                                                        \
        }                                                                                          \
    }

DEFINE_ALTERNATE(alternate, float, float)
DEFINE_ALTERNATE(alternate_doubles, double, double)
DEFINE_ALTERNATE(alternate_last, float, double)

/* Transpose the lines of a band, n numbers each: work->turned (n, BAND). Each of three rounds joins
 * pairs of lines, which compilers turn into operations of vectors of any length. */
#define DEFINE_TURN(NAME, NUMBER, ALTERNATE, LAST)                                                 \
    static void NAME(Work *work, NUMBER (*lines)[BAND * TILE], int n) {                            \
        for (int i = 0; i < 4; i++)                                                                \
            ALTERNATE(lines[0] + i * TILE, lines[0] + (i + 4) * TILE, n, lines[1] + 2 * i * TILE); \
        for (int i = 0; i < 2; i++)                                                                \
            ALTERNATE(lines[1] + 2 * i * TILE, lines[1] + 2 * (i + 2) * TILE, 2 * n,               \
                      lines[0] + 4 * i * TILE);                                                    \
        LAST(lines[0], lines[0] + 4 * TILE, 4 * n, work->turned);                                  \
    }

DEFINE_TURN(turn_floats, float, alternate, alternate_last)
DEFINE_TURN(turn_doubles, double, alternate_doubles, alternate_doubles)

/* Add up the lines of a band in n columns: one of the wide lines. */
static void add_up_lines(Work *work, int line, int n) {
    for (int c = 0; c < n; c++) {
        float sum = 0;
        for (int i = 0; i < BAND; i++)
            sum += work->of_floats[0][i * TILE + c];
        work->wide_lines[0][line * TILE + c] = sum;
    }
}

/* Weight the rows of the lines `first` to first + BAND - 1 in n columns from `left` on, and
 * transpose them: work->turned (n, BAND). */
#define DEFINE_BAND(NAME, WEIGH, TURN, PIXEL, SUM, WEIGHTS)                                        \
    static void NAME(Work *work, const ImgdupPicture *picture, int first, int64_t left, int n,     \
                     int with_wide) {                                                              \
        const Lines *rows = &work->rows;                                                           \
        for (int i = 0; i < BAND; i++) {                                                           \
            const char *pixels = (const char *)picture->pixels +                                   \
                                 rows->first[first + i] * picture->row_stride;                     \
            WEIGH((const PIXEL *)pixels + left, picture->row_stride,                               \
                  (WEIGHTS) + rows->start[first + i], rows->n[first + i], n,                       \
                  work->of_##SUM##s[0] + i * TILE);                                                \
        }                                                                                          \
        if (with_wide)                                                                             \
            add_up_lines(work, first / BAND, n);                                                   \
        TURN(work, work->of_##SUM##s, n);                                                          \
    }

DEFINE_BAND(band_of_bytes, weigh_bytes, turn_floats, uint8_t, float, work->row_weights)
DEFINE_BAND(band_of_bytes_long, weigh_bytes_long, turn_doubles, uint8_t, double, rows->weights)
DEFINE_BAND(band_of_floats, weigh_floats, turn_doubles, float, double, rows->weights)

/* Weight the n columns from `left` on of the lines `first` to first + BAND - 1, and add them to a
 * grid. */
static void add_band(const Work *work, const Lines *columns, int n_columns, int first, int64_t left,
                     int64_t n, double (*grid)[MAX_LINES]) {
    for (int j = 0; j < n_columns; j++) {
        int64_t start = larger(columns->first[j], left);
        int64_t stop = smaller(columns->first[j] + columns->n[j], left + n);
        const double *weights = columns->weights + columns->start[j] - columns->first[j];
        Vector sums[BAND / LANES], strip;
        for (int i = 0; i < BAND / LANES; i++)
            memcpy(sums + i, grid[j] + first + LANES * i, sizeof *sums);
        for (int64_t c = start; c < stop; c++)
            for (int i = 0; i < BAND / LANES; i++) {
                memcpy(&strip, work->turned + (c - left) * BAND + LANES * i, sizeof strip);
                sums[i] += weights[c] * strip;
            }
        for (int i = 0; i < BAND / LANES; i++)
            memcpy(grid[j] + first + LANES * i, sums + i, sizeof *sums);
    }
}

/* Weight the rows, then the columns, by the lines of work: work->grid (n_columns, n_rows). If
 * with_wide, also weight the sums of BAND lines each by the wide columns: work->wide_grid. */
static void fill_grid(Work *work, const ImgdupPicture *picture, int n_rows, int n_columns,
                      int with_wide) {
    int64_t width = (picture->width + picture->reduction - 1) / picture->reduction;
    int whole = work->rows.whole && !picture->is_float;
    if (whole) {
        int64_t n = work->rows.start[n_rows - 1] + work->rows.n[n_rows - 1];
        for (int64_t k = 0; k < n; k++)
            work->row_weights[k] = (float)work->rows.weights[k];
    }
    memset(work->grid, 0, (size_t)n_columns * sizeof work->grid[0]);
    memset(work->wide_grid, 0, sizeof work->wide_grid);
    int64_t n_tiles = (width + TILE - 1) / TILE;
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        int64_t left = tile * width / n_tiles; /* tiles are equally wide, so that none is narrow */
        int n = (int)((tile + 1) * width / n_tiles - left);
        for (int first = 0; first < n_rows; first += BAND) {
            if (picture->is_float)
                band_of_floats(work, picture, first, left, n, 0);
            else if (whole)
                band_of_bytes(work, picture, first, left, n, with_wide);
            else
                band_of_bytes_long(work, picture, first, left, n, 0);
            add_band(work, &work->columns, n_columns, first, left, n, work->grid);
        }
        if (with_wide) {
            turn_floats(work, work->wide_lines, n);
            add_band(work, &work->wide_columns, 9, 0, left, n, work->wide_grid);
        }
    }
}

static Axis row_axis(const ImgdupPicture *picture) {
    return axis_of(picture->height, picture->reduction, picture->rows_short_first);
}

static Axis column_axis(const ImgdupPicture *picture) {
    return axis_of(picture->width, picture->reduction, picture->columns_short_first);
}

/* Divide the sums of a grid by the area of each, and round the means to whole gray levels. */
static void round_levels(double (*grid)[MAX_LINES], int n_rows, int n_columns, double area) {
    for (int j = 0; j < n_columns; j++)
        for (int i = 0; i < n_rows; i++)
            grid[j][i] = floor(grid[j][i] / area + HALF);
}

static double area_of(const ImgdupPicture *picture) {
    return (double)picture->height * (double)picture->width;
}

/* Average the gray levels of n_rows x n_columns equal areas and round them: work->grid. */
static void level_grid(Work *work, const ImgdupPicture *picture, int n_rows, int n_columns) {
    area_lines(&work->rows, row_axis(picture), n_rows);
    area_lines(&work->columns, column_axis(picture), n_columns);
    fill_grid(work, picture, n_rows, n_columns, 0);
    round_levels(work->grid, n_rows, n_columns, area_of(picture));
}

static void area_grid(Work *work, const ImgdupPicture *picture, int side, int with_wide) {
    area_lines(&work->rows, row_axis(picture), side);
    area_lines(&work->columns, column_axis(picture), side);
    if (with_wide)
        area_lines(&work->wide_columns, column_axis(picture), 9);
    fill_grid(work, picture, side, side, with_wide);
    work->unit = work->rows.divisor[0] * work->columns.divisor[0]; /* that of all areas */
}

static void pdq_grid(Work *work, const ImgdupPicture *picture) {
    pdq_lines(&work->rows, row_axis(picture), work->slopes);
    pdq_lines(&work->columns, column_axis(picture), work->slopes);
    fill_grid(work, picture, MAX_LINES, MAX_LINES, 0);
    work->unit = 1;
    for (int j = 0; j < MAX_LINES; j++)
        for (int i = 0; i < MAX_LINES; i++)
            work->grid[j][i] /= work->rows.divisor[i] * work->columns.divisor[j];
    if (picture->height < PDQ_MIN_LENGTH || picture->width < PDQ_MIN_LENGTH)
        memset(work->grid, 0, sizeof work->grid);
}

/* Set the bits where a level is below its right neighbour: the dHash. */
static void compare_neighbours(double (*grid)[MAX_LINES], int side, uint64_t *words) {
    memset(words, 0, (size_t)(side * side / 8));
    for (int i = 0, bit = 0; i < side; i++)
        for (int j = 0; j < side; j++, bit++)
            words[bit / 64] |= (uint64_t)(grid[j][i] < grid[j + 1][i]) << bit % 64;
}

/* Set the bits where a level is above the mean of all levels: the aHash. */
static void compare_mean(const Work *work, int side, uint64_t *words) {
    double sum = 0;
    for (int j = 0; j < side; j++)
        for (int i = 0; i < side; i++)
            sum += work->grid[j][i];
    memset(words, 0, (size_t)(side * side / 8));
    for (int i = 0, bit = 0; i < side; i++)
        for (int j = 0; j < side; j++, bit++)
            words[bit / 64] |= (uint64_t)(work->grid[j][i] * (side * side) > sum) << bit % 64;
}

/* The cosine of i / 64 of a quarter turn. */
static double cosine(int i) {
    i %= 256;
    i = i > 128 ? 256 - i : i;
    return i > 64 ? -COSINES[128 - i] : COSINES[i];
}

/* Set the bits where a coefficient is above the lower median of all. */
static void compare_median(const double *coefficients, int n, uint64_t *words) {
    double low = coefficients[0], high = coefficients[0];
    for (int i = 1; i < n; i++) {
        low = coefficients[i] < low ? coefficients[i] : low;
        high = coefficients[i] > high ? coefficients[i] : high;
    }
    /* They are whole numbers: halve the range of the median until one number is left. */
    for (int step = 0; step < 64 && low < high; step++) {
        double middle = floor((low + high) / 2);
        int64_t n_up_to = 0;
        for (int i = 0; i < n; i++)
            n_up_to += coefficients[i] <= middle;
        if (n_up_to >= n / 2)
            high = middle;
        else
            low = middle + 1;
    }
    for (int w = 0; w < n / 64; w++) {
        words[w] = 0;
        for (int i = 0; i < 64; i++)
            words[w] |= (uint64_t)(coefficients[w * 64 + i] > high) << i;
    }
}

/* Multiply n_lines lines of WAVES numbers by two waves and add them up: sums (2, WAVES). */
static void add_lines(const double *wave, const double *other, const double *lines, int n_lines,
                      int stride, double *sums) {
    Vector totals[2][WAVES / LANES], line;
    memset(totals, 0, sizeof totals);
    for (int j = 0; j < n_lines; j++)
        for (int i = 0; i < WAVES / LANES; i++) {
            memcpy(&line, lines + j * stride + LANES * i, sizeof line);
            totals[0][i] += wave[j] * line;
            totals[1][i] += other[j] * line;
        }
    memcpy(sums, totals, sizeof totals);
}

/* Compute side x side coefficients of the two-dimensional DCT-II of the grid, which is
 * 4 side x 4 side, in units of 1 / PER_UNIT; `low` is the lowest frequency. A wave of even
 * frequency is its own mirror image, one of odd frequency its negative; so each is multiplied with
 * the sums or the differences of opposite lines, of which there are half as many. */
static void transform(Work *work, int side, int low, double *coefficients) {
    int n = 4 * side, middle = n / 2;
    double(*waves)[MAX_LINES / 2] = work->waves[n / 32 - 1] + low;
    double sums[2][WAVES], scale = 2 * PER_UNIT / n / work->unit;
    memset(work->half, 0, sizeof work->half);
    for (int j = 0; j < middle; j++)
        for (int i = 0; i < n; i++) {
            work->folded[0][j][i] = work->grid[j][i] + work->grid[n - 1 - j][i];
            work->folded[1][j][i] = work->grid[j][i] - work->grid[n - 1 - j][i];
        }
    for (int k = 0; k < side; k += k % 2 ? 3 : 1) /* and k + 2 */
        for (int first = 0; first < n; first += WAVES) {
            add_lines(waves[k], waves[k + 2], &work->folded[(low + k) % 2][0][first], middle,
                      MAX_LINES, sums[0]);
            for (int i = 0; i < WAVES; i++) {
                work->half[first + i][k] = sums[0][i];
                work->half[first + i][k + 2] = sums[1][i];
            }
        }
    for (int i = 0; i < middle; i++)
        for (int k = 0; k < MAX_SIDE; k++) {
            work->folded_half[0][i][k] = work->half[i][k] + work->half[n - 1 - i][k];
            work->folded_half[1][i][k] = work->half[i][k] - work->half[n - 1 - i][k];
        }
    for (int k = 0; k < side; k += k % 2 ? 3 : 1)
        for (int first = 0; first < side; first += WAVES) {
            add_lines(waves[k], waves[k + 2], &work->folded_half[(low + k) % 2][0][first], middle,
                      MAX_SIDE, sums[0]);
            for (int l = 0; l < WAVES && first + l < side; l++) {
                coefficients[k * side + first + l] = rint(sums[0][l] * scale);
                coefficients[(k + 2) * side + first + l] = rint(sums[1][l] * scale);
            }
        }
}

/* Compare the low frequencies of the grid with their median: the pHash, and PDQ. */
static void compare_frequencies(Work *work, int side, uint64_t *words) {
    double coefficients[MAX_SIDE * MAX_SIDE];
    transform(work, side, 1, coefficients);
    compare_median(coefficients, side * side, words);
}

/* Set the bits where a low frequency of the grid is positive, except that of the mean brightness:
 * the match hash. Return how many frequencies are clear: rounding cannot change their sign. */
static int compare_zero(Work *work, uint64_t *words) {
    double coefficients[MAX_SIDE * MAX_SIDE];
    int n_clear = 0;
    transform(work, MAX_SIDE, 0, coefficients);
    coefficients[0] = 0;
    for (int w = 0; w < MAX_SIDE * MAX_SIDE / 64; w++) {
        words[w] = 0;
        for (int i = 0; i < 64; i++) {
            words[w] |= (uint64_t)(coefficients[w * 64 + i] > 0) << i;
            n_clear += fabs(coefficients[w * 64 + i]) >= CLEAR_LEVEL * PER_UNIT;
        }
    }
    return n_clear;
}

/* Compute the first halves of the waves of 32 and of 64 lines, to be scaled by sqrt(2 / lines). */
static void fill_waves(Work *work) {
    for (int i = 0; i < MAX_LINES / 2; i++) {
        work->waves[0][0][i] = work->waves[1][0][i] = cosine(32); /* sqrt(1 / 2) */
        for (int k = 1; k <= MAX_SIDE; k++) {
            work->waves[0][k][i] = cosine(k * (2 * i + 1) * 2);
            work->waves[1][k][i] = cosine(k * (2 * i + 1));
        }
    }
}

/* Add up, in whole percent, the differences between n neighbours; `percent` is what one of 1 is. */
static int percents(const double *a, const double *b, int n, double percent) {
    int total = 0;
    for (int i = 0; i < n; i++) {
        double difference = fabs(a[i] - b[i]) * percent;
        total += (int)(difference < MAX_QUALITY ? difference : MAX_QUALITY);
    }
    return total;
}

static uint8_t quality_of(const Work *work, const ImgdupPicture *picture) {
    int total = 0, enough = MAX_QUALITY * PDQ_GRADIENTS;
    double percent = PERCENT / work->unit;
    if (picture->height < TINY_SIDE || picture->width < TINY_SIDE)
        return 0;
    for (int j = 0; j < MAX_LINES && total < enough; j++)
        total += percents(work->grid[j], work->grid[j] + 1, MAX_LINES - 1, percent);
    for (int j = 1; j < MAX_LINES && total < enough; j++)
        total += percents(work->grid[j], work->grid[j - 1], MAX_LINES, percent);
    return (uint8_t)smaller(total / PDQ_GRADIENTS, MAX_QUALITY);
}

/* Some rows and columns of a picture: those from first to stop - 1 of each axis, 0 for the rows. */
typedef struct {
    int64_t first[2], stop[2];
} Box;

/* The gray levels of a strip, and sums of those of its even or odd pixels. */
typedef uint8_t Levels __attribute__((vector_size(STRIP)));
typedef uint16_t Sums __attribute__((vector_size(STRIP)));

/* The outermost lines of a box: the first and last row, the first and last column. */
enum { N_SIDES = 4 };

/* Round a gray level to a whole number from 0 to 255; NaN is 0. */
static int level_of(float pixel) {
    return pixel > 0 ? (int)((pixel < 255 ? pixel : 255) + 0.5f) : 0;
}

/* Copy n pixels, STRIP at most, as whole gray levels; `level` fills the rest. */
static void copy_strip(const char *pixels, int is_float, int64_t n, int level, uint8_t *strip) {
    memset(strip, level, STRIP);
    for (int c = 0; c < n && c < STRIP; c++)
        strip[c] = is_float ? (uint8_t)level_of(((const float *)pixels)[c])
                            : ((const uint8_t *)pixels)[c];
}

/* Add up by how much the gray levels of n strips of STRIP pixels differ from a level: sums
 * (STRIP,), those of even pixels first. The strips are `step` bytes apart; n is at most
 * MOST_SUMMED. */
static void sum_differences(const uint8_t *strip, int64_t step, int n, int level, uint16_t *sums) {
    Levels levels, found;
    Sums even = {0}, odd = {0}, pairs;
    memset(&levels, level, sizeof levels);
    for (int i = 0; i < n; i++, strip += step) {
        memcpy(&found, strip, sizeof found);
        Levels is_below = (Levels)(found < levels);
        found = ((found - levels) ^ is_below) - is_below;
        memcpy(&pairs, &found, sizeof pairs);
        even += pairs & 255;
        odd += pairs >> 8;
    }
    memcpy(sums, &even, sizeof even);
    memcpy(sums + STRIP / 2, &odd, sizeof odd);
}

/* Add up by how much the gray levels of the outermost lines of one side of a box differ from a
 * level: totals (STRIP,). These are one row, or up to STRIP columns, the outermost first; return
 * how many. */
static int line_differences(const ImgdupPicture *picture, const Box *box, int side, int level,
                            int64_t *totals) {
    int is_row = side < 2, is_far = side % 2, pixel_bytes = picture->is_float ? 4 : 1;
    int64_t width = box->stop[1] - box->first[1], n_lines = is_row ? 1 : smaller(width, STRIP);
    int64_t row = is_row && is_far ? box->stop[0] - 1 : box->first[0];
    int64_t column = !is_row && is_far ? box->stop[1] - n_lines : box->first[1];
    int64_t step = is_row ? STRIP * pixel_bytes : picture->row_stride, n;
    int64_t n_left = is_row ? width / STRIP : box->stop[0] - box->first[0];
    const char *pixels =
        (const char *)picture->pixels + row * picture->row_stride + column * pixel_bytes;
    int is_copied = picture->is_float || (!is_row && n_lines < STRIP);
    uint16_t sums[STRIP];
    uint8_t strip[STRIP];
    memset(totals, 0, STRIP * sizeof *totals);
    for (; n_left > 0; n_left -= n, pixels += n * step) {
        n = is_copied ? 1 : smaller(n_left, MOST_SUMMED);
        if (is_copied)
            copy_strip(pixels, picture->is_float, is_row ? STRIP : n_lines, level, strip);
        sum_differences(is_copied ? strip : (const uint8_t *)pixels, step, (int)n, level, sums);
        for (int c = 0; c < STRIP; c++)
            totals[is_row ? 0 : c] += sums[c % 2 * (STRIP / 2) + c / 2];
    }
    if (is_row) {
        copy_strip(pixels, picture->is_float, width % STRIP, level, strip);
        sum_differences(strip, step, 1, level, sums);
        for (int c = 0; c < STRIP; c++)
            totals[0] += sums[c];
    } else if (is_far)
        for (int64_t c = 0; c < n_lines / 2; c++) {
            int64_t total = totals[c];
            totals[c] = totals[n_lines - 1 - c];
            totals[n_lines - 1 - c] = total;
        }
    return (int)n_lines;
}

/* Move a side of a box inwards by its lines that differ little from a level, until `least` lines
 * are left between it and the other side. Return how many lines were left out. */
static int64_t trim_side(const ImgdupPicture *picture, int side, int level, int64_t least,
                         Box *box) {
    int axis = side / 2, along = 1 - axis, n_flat, n_lines;
    int64_t n = box->stop[along] - box->first[along], totals[STRIP];
    int64_t before = box->stop[axis] - box->first[axis], left = before;
    do {
        n_lines = line_differences(picture, box, side, level, totals);
        n_flat = 0;
        while (n_flat < n_lines && left > least && totals[n_flat] <= FLAT * n) {
            n_flat++;
            left--;
        }
        box->first[axis] += side % 2 == 0 ? n_flat : 0;
        box->stop[axis] -= side % 2 == 1 ? n_flat : 0;
    } while (n_flat == n_lines && left > least);
    return before - left;
}

/* Find what flat borders enclose: each side has a border if its outermost line hardly varies, and
 * it ends before the first line that differs from it. Return whether borders were found. */
static int find_inner(const ImgdupPicture *picture, int64_t rows, int64_t columns, Box *box) {
    int64_t length[2] = {rows, columns}, totals[STRIP], n_trimmed;
    int level[N_SIDES]; /* of each border, or -1 */
    *box = (Box){{0, 0}, {rows, columns}};
    for (int side = 0; side < N_SIDES; side++) {
        int64_t n = length[1 - side / 2];
        line_differences(picture, box, side, 0, totals);
        level[side] = (int)((totals[0] + n / 2) / n);
        line_differences(picture, box, side, level[side], totals);
        if (totals[0] > FLAT * n)
            level[side] = -1;
    }
    do {
        n_trimmed = 0;
        for (int side = 0; side < N_SIDES; side++) {
            int axis = side / 2;
            int64_t least = length[axis] / LEAST_INNER;
            if (level[side] >= 0)
                n_trimmed += trim_side(picture, side, level[side], least, box);
            if (box->stop[axis] - box->first[axis] <= least)
                return 0;
        }
    } while (n_trimmed);
    for (int axis = 0; axis < 2; axis++)
        if ((length[axis] - box->stop[axis] + box->first[axis]) * LEAST_TRIMMED >= length[axis])
            return 1;
    return 0;
}

/* Count the full pixels of some lines of an axis, which has n lines and a partial one perhaps. */
static int64_t full_pixels(int64_t length, int64_t n, int reduction, int short_first, int64_t first,
                           int64_t stop) {
    int has_partial = short_first ? first == 0 : stop == n;
    return (stop - first) * reduction - (has_partial ? n * reduction - length : 0);
}

/* Cut a box out of a picture that has so many rows and columns. */
static ImgdupPicture cut_out(const ImgdupPicture *picture, int64_t rows, int64_t columns,
                             const Box *box) {
    ImgdupPicture inner = *picture;
    inner.pixels = (const char *)picture->pixels + box->first[0] * picture->row_stride +
                   box->first[1] * (picture->is_float ? 4 : 1);
    inner.height = full_pixels(picture->height, rows, picture->reduction, picture->rows_short_first,
                               box->first[0], box->stop[0]);
    inner.width = full_pixels(picture->width, columns, picture->reduction,
                              picture->columns_short_first, box->first[1], box->stop[1]);
    inner.rows_short_first = picture->rows_short_first && box->first[0] == 0;
    inner.columns_short_first = picture->columns_short_first && box->first[1] == 0;
    return inner;
}

/* Compute the match hash of a picture and return its quality; for with_wide, see fill_grid. */
static uint8_t match_hash(Work *work, const ImgdupPicture *picture, int with_wide,
                          uint64_t *words) {
    area_grid(work, picture, MAX_LINES, with_wide);
    return compare_zero(work, words) < CLEAR ? 0 : quality_of(work, picture);
}

/* Compute the match hash of what flat borders enclose: 0 without borders, and if that or the whole
 * picture has too little structure to be compared. */
static void trimmed_hash(Work *work, const ImgdupPicture *picture, uint8_t quality,
                         uint64_t *words) {
    int64_t rows = (picture->height + picture->reduction - 1) / picture->reduction;
    int64_t columns = (picture->width + picture->reduction - 1) / picture->reduction;
    Box box;
    if (quality >= GOOD_QUALITY && find_inner(picture, rows, columns, &box)) {
        ImgdupPicture inner = cut_out(picture, rows, columns, &box);
        if (match_hash(work, &inner, 0, words) >= GOOD_QUALITY)
            return;
    }
    memset(words, 0, 4 * sizeof *words);
}

/* Return whether float holds the sums of BAND lines of rows exactly. */
static int has_exact_wide_lines(const ImgdupPicture *picture) {
    return !picture->is_float && picture->height <= MAX_WHOLE / BAND;
}

static void hash_one(Work *work, const ImgdupPicture *picture, const ImgdupHashes *to, int64_t i) {
    int with_wide = to->match && to->dhash64 && has_exact_wide_lines(picture);
    for (int side = 8; side <= MAX_SIDE; side += 8) {
        int words = side * side / 64;
        uint64_t *dhash = side == 8 ? to->dhash64 : to->dhash256;
        uint64_t *ahash = side == 8 ? to->ahash64 : to->ahash256;
        uint64_t *phash = side == 8 ? to->phash64 : to->phash256;
        if (dhash && !(with_wide && side == 8)) {
            level_grid(work, picture, side, side + 1);
            compare_neighbours(work->grid, side, dhash + i * words);
        }
        if (ahash) {
            level_grid(work, picture, side, side);
            compare_mean(work, side, ahash + i * words);
        }
        if (phash) {
            area_grid(work, picture, 4 * side, 0);
            compare_frequencies(work, side, phash + i * words);
        }
    }
    if (to->pdq) {
        pdq_grid(work, picture);
        compare_frequencies(work, MAX_SIDE, to->pdq + i * 4);
    }
    if (to->match) {
        to->quality[i] = match_hash(work, picture, with_wide, to->match + i * 4);
        if (with_wide) {
            round_levels(work->wide_grid, 8, 9, area_of(picture) * BAND);
            compare_neighbours(work->wide_grid, 8, to->dhash64 + i);
        }
        if (to->trimmed)
            trimmed_hash(work, picture, to->quality[i], to->trimmed + i * 4);
    }
}

/* Round a number of bytes up to whole cache lines. */
static int64_t padded(int64_t bytes) {
    return (bytes + 63) / 64 * 64;
}

int64_t imgdup_hash_scratch(int64_t rows_and_columns) {
    int64_t n = rows_and_columns + 2 * SPARE_WEIGHTS;
    return padded(sizeof(Work)) + 4 * padded(n * (int64_t)sizeof(double));
}

void imgdup_hash(const ImgdupPicture *pictures, int64_t n, const ImgdupHashes *hashes,
                 void *scratch) {
    Work *work = scratch;
    fill_waves(work);
    for (int64_t i = 0; i < n; i++) {
        const ImgdupPicture *picture = pictures + i;
        int64_t rows = (picture->height + picture->reduction - 1) / picture->reduction;
        int64_t columns = (picture->width + picture->reduction - 1) / picture->reduction;
        double *room = (double *)((char *)scratch + padded(sizeof(Work)));
        work->rows.weights = room;
        work->columns.weights = work->rows.weights + rows + SPARE_WEIGHTS;
        work->wide_columns.weights = work->columns.weights + columns + SPARE_WEIGHTS;
        work->slopes = work->wide_columns.weights + columns + SPARE_WEIGHTS;
        work->row_weights = (float *)(work->slopes + larger(rows, columns) + SPARE_WEIGHTS);
        hash_one(work, picture, hashes, i);
    }
}

/* Multiply two square matrices: product = left * right. */
static void multiply(const double *left, const double *right, double *product) {
    double sums[2][WAVES];
    for (int i = 0; i < MAX_SIDE; i += 2)
        for (int first = 0; first < MAX_SIDE; first += WAVES) {
            add_lines(left + i * MAX_SIDE, left + (i + 1) * MAX_SIDE, right + first, MAX_SIDE,
                      MAX_SIDE, sums[0]);
            memcpy(product + i * MAX_SIDE + first, sums[0], sizeof sums[0]);
            memcpy(product + (i + 1) * MAX_SIDE + first, sums[1], sizeof sums[1]);
        }
}

/* Put bit k of each of 64 bytes into a word. The product moves those of eight bytes together. */
static uint64_t pack_bits(const uint8_t *bytes, int k) {
    uint64_t packed = 0, eight;
    for (int i = 0; i < 64; i += 8) {
        memcpy(&eight, bytes + i, sizeof eight);
        eight = (eight >> k & 0x0101010101010101) * 0x0102040810204080;
        packed |= eight >> 56 << i;
    }
    return packed;
}

void imgdup_likely_parts(const uint64_t *match, int64_t n, const double *sizes, const double *rows,
                         const double *columns, uint64_t *hashes, uint64_t *planes,
                         int64_t *weights) {
    enum { N = MAX_SIDE * MAX_SIDE, MOST = (1 << PARTS_PLANES) - 1 };
    double whole[N], half[N], part[N];
    uint8_t weight[N], is_positive[N];
    for (int64_t i = 0; i < n; i++, match += 4, hashes += 4, planes += 4) {
        for (int bit = 0; bit < N; bit++)
            whole[bit] = match[bit / 64] >> bit % 64 & 1 ? sizes[bit] : -sizes[bit];
        multiply(whole, columns, half);
        multiply(rows, half, part);
        part[0] = 0; /* the mean brightness says nothing */
        double sums[MAX_SIDE] = {0}, sum = 0; /* of whole numbers: exact in any order */
        for (int bit = 0; bit < N; bit++)
            sums[bit % MAX_SIDE] += fabs(part[bit]);
        for (int j = 0; j < MAX_SIDE; j++)
            sum += sums[j];
        double scale = PARTS_MEAN_WEIGHT * N / sum;
        int total = 0;
        for (int bit = 0; bit < N; bit++) {
            double size = rint(fabs(part[bit]) * scale);
            weight[bit] = (uint8_t)(int)(size < MOST ? size : MOST);
            is_positive[bit] = part[bit] > 0;
        }
        for (int bit = 0; bit < N; bit++)
            total += weight[bit];
        weights[i] = total;
        for (int w = 0; w < 4; w++) {
            hashes[w] = pack_bits(is_positive + 64 * w, 0);
            for (int k = 0; k < PARTS_PLANES; k++)
                planes[k * n * 4 + w] = pack_bits(weight + 64 * w, k);
        }
    }
}
