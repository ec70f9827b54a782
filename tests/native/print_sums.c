/* Prints pairs of hashes, and sums over pictures: the same on every processor. */
#include "imgdup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_HASHES = 3000, WORDS = 4, BAND_BITS = 10, N_VALUES = 1 << BAND_BITS, MOST = 31 };
enum { N_SLOTS = 1 << 17, STRIDE = N_HASHES + JOIN_LANES };
enum { N_PICTURES = 40, MAX_SIDE = 150, MAX_PIXELS = MAX_SIDE * MAX_SIDE };

static uint64_t state = 1;

/* The next of a fixed series of numbers, from 0 to below - 1. */
static int64_t next(int64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)below);
}

static uint64_t hashes[N_HASHES * WORDS], columns[WORDS * STRIDE], slots[N_SLOTS];

/* Fill the hashes with groups of similar ones. */
static void fill_hashes(void) {
    for (int i = 0; i < N_HASHES; i++)
        for (int w = 0; w < WORDS; w++) {
            uint64_t *word = hashes + i * WORDS + w;
            *word = i < 300 ? (uint64_t)next(1LL << 31) << 33 ^ (uint64_t)next(1LL << 31) << 5
                            : hashes[i % 300 * WORDS + w];
            for (int flips = i < 300 ? 0 : 3; flips > 0; flips--)
                *word ^= (uint64_t)1 << next(64);
        }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Join the hashes with themselves by one band, and print the pairs. */
static void print_pairs(void) {
    static uint32_t values[N_HASHES], counts[N_VALUES], places[N_VALUES], starts[N_VALUES + 1];
    static uint32_t rows[N_HASHES];
    int64_t bits[BAND_BITS], masks[BAND_BITS + 1] = {0}, control[3] = {0};
    for (int i = 0; i < BAND_BITS; i++) {
        bits[i] = 25 * i;
        masks[i + 1] = 1 << i;
    }
    imgdup_count_values(hashes, NULL, N_HASHES, WORDS, bits, BAND_BITS, values, counts);
    for (int v = 0; v < N_VALUES; v++) {
        places[v] = starts[v];
        starts[v + 1] = starts[v] + counts[v];
    }
    imgdup_place_rows(values, N_HASHES, 0, places, rows);
    JoinTable table = {hashes, NULL, columns, rows, starts, N_HASHES, N_VALUES};
    imgdup_copy_columns(&table, WORDS, WORDS, 0, N_HASHES, columns);
    JoinCall call = {.left = table, .right = table, .is_self = 1, .words = WORDS,
                     .n_first = WORDS, .max_distance = MOST, .masks = masks,
                     .n_masks = BAND_BITS + 1, .left_shift = 40, .right_shift = 16,
                     .control = control, .slots = slots, .n_slots = N_SLOTS};
    int64_t compared = imgdup_join(&call, JOIN_FIRST_COUNTER);
    qsort(slots, (size_t)control[JOIN_USED], sizeof *slots, by_value);
    for (int64_t i = 0; i < control[JOIN_USED] && slots[i] != JOIN_FREE; i++)
        printf("pair %llx\n", (unsigned long long)slots[i]);
    printf("stop %lld compared %lld\n", (long long)control[JOIN_STOP], (long long)compared);
}

/* Compare all hashes with one of them, and print those that are near. */
static void print_near(void) {
    static uint16_t distances[N_HASHES];
    static int64_t positions[N_HASHES], found[N_HASHES];
    int64_t runs[4] = {3, 1500, 1501, N_HASHES};
    const uint64_t *probe = hashes + 7 * WORDS;
    imgdup_distances(hashes, N_HASHES, WORDS, probe, distances);
    for (int i = 0; i < N_HASHES; i += 97)
        printf("distance %d\n", distances[i]);
    int64_t n = imgdup_scan(hashes, WORDS, runs, 2, probe, MOST, positions, found, N_HASHES);
    for (int64_t i = 0; i < n; i++)
        printf("near %lld %lld\n", (long long)positions[i], (long long)found[i]);
    static uint64_t folded[WORDS / 2 * STRIDE];
    for (int w = 0; w < WORDS / 2; w++)
        for (int i = 0; i < N_HASHES; i++)
            folded[w * STRIDE + i] = hashes[i * WORDS + w] ^ hashes[i * WORDS + w + WORDS / 2];
    n = imgdup_scan_folded(hashes, folded, N_HASHES, WORDS, 5, N_HASHES - 3, probe, MOST, positions,
                           found, N_HASHES);
    for (int64_t i = 0; i < n; i++)
        printf("folded %lld %lld\n", (long long)positions[i], (long long)found[i]);
}

/* Sort some hashes by their first bits, and print them. */
static void print_parts(void) {
    static uint64_t sorted[N_HASHES * WORDS];
    int64_t counts[16] = {0}, places[16] = {0};
    imgdup_count_parts(hashes, N_HASHES * WORDS, 60, 16, counts);
    for (int part = 1; part < 16; part++)
        places[part] = places[part - 1] + counts[part - 1];
    imgdup_scatter(hashes, N_HASHES * WORDS, 60, 0, 16, places, sorted);
    for (int i = 0; i < N_HASHES * WORDS; i += 50)
        printf("sorted %llx\n", (unsigned long long)sorted[i]);
}

/* Print about what hashes a part of each picture has. */
static void print_likely_parts(void) {
    static uint64_t parts[N_HASHES * WORDS], weight_planes[PARTS_PLANES * N_HASHES * WORDS];
    static int64_t weights[N_HASHES];
    double sizes[256], rows[256], columns[256];
    for (int i = 0; i < 256; i++) {
        sizes[i] = (double)next(200);
        rows[i] = (double)(next(100) - 50);
        columns[i] = (double)(next(100) - 50);
    }
    imgdup_likely_parts(hashes, N_HASHES, sizes, rows, columns, parts, weight_planes, weights);
    for (int i = 0; i < N_HASHES * WORDS; i += 61)
        printf("part %llx %llx %lld\n", (unsigned long long)parts[i],
               (unsigned long long)weight_planes[PARTS_PLANES * i], (long long)weights[i / WORDS]);
}

/* Print the bits of numbers. */
static void print_doubles(const char *name, const double *numbers, int n) {
    printf("%s", name);
    for (int i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, numbers + i, sizeof bits);
        printf(" %llx", (unsigned long long)bits);
    }
    printf("\n");
}

static void print_floats(const char *name, const float *numbers, int n) {
    printf("%s", name);
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, numbers + i, sizeof bits);
        printf(" %lx", (unsigned long)bits);
    }
    printf("\n");
}

/* Print what is unusual in the blocks of three pairs of planes (3, 6, height, width). */
static void print_excess(const float *moments, int64_t height, int64_t width) {
    static int64_t scratch[7 * (MAX_PIXELS + EXCESS_ROOM)];
    static float excess[MAX_PIXELS], windows[13 * MAX_PIXELS];
    ImgdupExcess rules = {
        .usual = {.samples = 500, .bare = 1, .many_bare = 0.05, .quantile = 0.75,
                  .least_noise = 3, .least_share = 0.01, .nearly_all = 0.99, .apart = 3, .few = 20,
                  .least_ratio = 0.5},
        .squares = {0.7, 900, 0.6}, .means = {1.5, 700, 0.4}, .outliers = {1.2, 20, 0},
        .faint = {1.1, 10, 0.12}, .even = 30, .even_share = 0.2f};
    int64_t n = height * width;
    imgdup_luma_excess(moments, height, width, &rules, 0.5, scratch, excess);
    print_floats("luma", excess, (int)n);
    imgdup_raise_chroma(moments, moments + 6 * n, moments + 12 * n, height, width, &rules, 0.5,
                        scratch, excess);
    print_floats("chroma", excess, (int)n);
    const ImgdupExcess of_sizes[] = {rules, rules};
    const float *luma[] = {moments, moments};
    const ImgdupShapes shapes = {.side = 2, .faint = 900, .floor = 0.001f, .correlated = 0.4f,
                                 .unlike_share = 0.9, .beside_noise = 2, .quantile = 0.5,
                                 .least_noise = 0.02, .few = 3};
    printf("%d\n", (int)imgdup_luma_part(moments, height, width, 2, &rules, 0.5, scratch, windows,
                                         excess));
    print_floats("luma of windows", excess, (int)n);
    imgdup_chroma_excess(luma, moments + 6 * n, moments + 12 * n, height, width, of_sizes, 2, 0.5,
                         scratch, windows, excess);
    print_floats("chroma of windows", excess, (int)n);
    imgdup_unlike_shapes(moments, height, width, &shapes, (double *)scratch, windows, excess);
    print_floats("shapes", excess, (int)n);
    const ImgdupStructure structure = {.floor = 0.001f, .unlike_share = 0.1f, .flat_share = 0.4,
                                       .quantile = 0.5, .least_noise = 2};
    imgdup_unlike_structure(moments, n, &structure, &rules.squares, windows, excess);
    print_floats("structure", excess, (int)n);
}

/* Search a picture in another one, and move it over that; print where it lies. */
static void print_place(const uint8_t *whole, const uint8_t *part, int64_t height, int64_t width) {
    static uint8_t small[SEARCH_SIDE * SEARCH_SIDE], taken[MAX_PIXELS], changes[MAX_PIXELS];
    static uint32_t sums[26 * (MAX_SIDE + 32)], corners[MAX_PIXELS];
    static int64_t scratch[1 << 19];
    static float rows[8 * (MAX_SIDE + 16)];
    int64_t sizes[2 * 3], place[3];
    int64_t rows_of_whole = height < SEARCH_SIDE ? height : SEARCH_SIDE;
    int64_t columns_of_whole = width < SEARCH_SIDE ? width : SEARCH_SIDE;
    imgdup_shrink(whole, height, width, 1, small, rows_of_whole, columns_of_whole, sums);
    for (int i = 0; i < 3; i++) {
        sizes[2 * i] = rows_of_whole * (6 - i) / 6;
        sizes[2 * i + 1] = columns_of_whole * (6 - i) / 6;
    }
    double found = imgdup_search(small, rows_of_whole, columns_of_whole, part, height, width, sizes,
                                 3, scratch, place);
    print_doubles("correlation", &found, 1);
    printf("place %lld %lld %lld\n", (long long)place[0], (long long)place[1],
           (long long)place[2]);
    double matrix[6] = {0.97, 0.01, 0.01, -0.01, 0.98, 0.02};
    memset(rows, 0, sizeof rows);
    imgdup_take(whole, height, width, height, width, matrix, corners, taken);
    imgdup_refine(corners, height, width, part, height, width, 3, rows, changes, matrix, taken);
    print_doubles("matrix", matrix, 6);
    double places[MAX_SIDE];
    int32_t ends[2 * MAX_SIDE];
    int64_t box[4];
    static float levels[MAX_PIXELS + 4];
    int64_t n_inside = imgdup_inside(height, width, matrix, 0.001, places, small, ends, box);
    imgdup_cut_out(whole, height, width, part, height, width, 1, matrix, ends, box, levels, taken);
    int64_t n_taken = (box[2] - box[0]) * (box[3] - box[1]), sum = 0;
    for (int64_t i = 0; i < n_taken; i++)
        sum += (i % 251 + 1) * taken[i];
    printf("taken %lld\n", (long long)sum);
    printf("inside %lld\n", (long long)n_inside);
}

/* Print how many windows of two pictures have structure, and how many agree. */
static void print_agreement(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width) {
    static float means[16 * MAX_PIXELS], moments[6 * MAX_PIXELS];
    static int32_t sums[6 * MAX_PIXELS + 5 * MAX_SIDE];
    int64_t counts[2], n_rows = height / 2, n_columns = width / 2 + 2;
    imgdup_level_moments(a, b, height, width, 2, n_rows, n_columns, means, moments);
    print_floats("moments of levels", moments, (int)(6 * n_rows * n_columns));
    ImgdupAgreement rules = {.least = 40, .mean_share = 0.25, .floor = 1e-3f, .correlated = 0.4f};
    imgdup_agreement(a, b, height, width, 4, 4, &rules, sums, means, counts);
    printf("agreement %lld %lld\n", (long long)counts[0], (long long)counts[1]);
}

/* Print what curves and levels of two pictures (height, width, 3) say. */
static void print_levels(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width) {
    static float gray[MAX_PIXELS];
    static uint32_t keys[MAX_PIXELS];
    int32_t curve[256];
    double exact[256];
    uint8_t is_counted[256];
    int64_t counts[2] = {0}, dark[256] = {0}, bright[256] = {0}, n = height * width;
    for (int level = 0; level < 256; level++) {
        exact[level] = (double)(level * 900 + next(30000)) / 1000.0;
        curve[level] = (int32_t)exact[level];
        is_counted[level] = (uint8_t)(next(3) > 0);
    }
    imgdup_luma(a, 3 * width, height, width, gray);
    print_floats("gray", gray, (int)n);
    float middle = imgdup_ranked(gray, n, n / 2, keys);
    print_floats("middle", &middle, 1);
    imgdup_curve_errors(a, b, 3 * n, curve, 1, 400, counts);
    printf("error %lld\n", (long long)counts[0]);
    counts[0] = 0;
    imgdup_count_nearer(a, b, 3 * n, exact, is_counted, counts);
    printf("nearer %lld %lld\n", (long long)counts[0], (long long)counts[1]);
    imgdup_end_steps(a, height, width, 3, 2, 100, dark, bright);
    for (int i = 0; i < 256; i++)
        printf("%lld %lld%s", (long long)dark[i], (long long)bright[i], i < 255 ? " " : "\n");
    double matrix[25], vector[5];
    for (int i = 0; i < 25; i++)
        matrix[i] = (double)next(1000) / 7.0 + (i % 6 ? 0.0 : 500.0);
    for (int i = 0; i < 5; i++)
        vector[i] = (double)next(1000) / 3.0;
    imgdup_solve(matrix, vector, 5);
    print_doubles("solved", vector, 5);
}

/* Print what the levels of a picture have become in another one, and a curve. */
static void print_curve(const uint8_t *a, const uint8_t *b, uint8_t *weights, int64_t height,
                        int64_t width) {
    static uint8_t rows[2 * (MAX_SIDE + 2)];
    double matches[2 * MATCH_ROOM], curve[CURVE_LEVELS], off[CURVE_LEVELS];
    double kernel[CURVE_REACH + 1], logs[2 * CURVE_LEVELS], curves[SINGLE_CURVES * CURVE_LEVELS];
    double *counts = matches, *means = matches + CURVE_LEVELS, missed;
    int64_t n_levels[CURVE_LEVELS];
    uint8_t table[CURVE_LEVELS];
    ImgdupCurve rules = {.clipped_at = 6, .most_clipped = 0.1, .far_off = 3, .rounds = 5};
    for (int i = 0; i < CURVE_LEVELS; i++)
        table[i] = (uint8_t)(255 - i);
    for (int i = 0; i <= CURVE_REACH; i++)
        kernel[i] = 1.0 / (1 + i);
    imgdup_match_levels(a, b, weights, height * width, matches);
    print_doubles("matches", matches, 2 * MATCH_ROOM);
    imgdup_match_equally(a, b, height * width, matches);
    print_doubles("equal match", matches, MATCH_ROOM);
    imgdup_take_every(a, height, width, 1, 3, weights);
    for (int64_t i = 0; i < (width + 2) / 3; i++)
        printf("%d%s", weights[i], i + 1 < (width + 2) / 3 ? " " : "\n");
    imgdup_count_levels(a, height * width, n_levels);
    for (int i = 0; i < CURVE_LEVELS; i++)
        printf("%lld%s", (long long)n_levels[i], i + 1 < CURVE_LEVELS ? " " : "\n");
    imgdup_stiff_curve(counts, means, &rules, curve);
    print_doubles("curve", curve, CURVE_LEVELS);
    imgdup_levels_off(counts, means, curve, 0.5, kernel, off);
    print_doubles("off", off, CURVE_LEVELS);
    missed = imgdup_missed(counts, means, curve, 1.5);
    print_doubles("missed", &missed, 1);
    for (int i = 0; i < 2 * CURVE_LEVELS; i++)
        logs[i] = (double)(i % CURVE_LEVELS - 255) / 60 - (double)next(9) / 100;
    imgdup_smooth_curve(counts, means, &rules, 0.5, kernel, logs, curve);
    print_doubles("smooth", curve, CURVE_LEVELS);
    imgdup_single_curves(counts, means, logs, 99.5, &rules, curves);
    print_doubles("single", curves, SINGLE_CURVES * CURVE_LEVELS);
    printf("%lld\n", (long long)imgdup_plain_curves(counts, means, logs, &rules, curves));
    print_doubles("plain", curves, PLAIN_CURVES * CURVE_LEVELS);
    imgdup_evenness(a, b, height, width, 1, table, rows, weights);
    for (int64_t i = 0; i < width; i++)
        printf("%d%s", weights[i], i + 1 < width ? " " : "\n");
}

/* Print what is found of the colours of a picture (height, width, 3). */
static void print_colours(const uint8_t *rgb, int64_t height, int64_t width, float *plane) {
    const ImgdupSmooth rules = {8, 2000.0f, 0.5};
    imgdup_luma_plane(rgb, height * width, plane);
    print_floats("luma", plane, (int)(height * width));
    imgdup_chroma(rgb, height * width, (uint8_t *)plane);
    for (int64_t i = 0; i < width; i++)
        printf("%d%s", ((uint8_t *)plane)[i], i + 1 < width ? " " : "\n");
    printf("coloured %lld\n", (long long)imgdup_count_coloured(rgb, height * width, 90));
    printf("smooth %d\n", (int)imgdup_is_smooth(rgb, height, width, 3, &rules));
}

/* Print where two pictures (height, width, 3) are not equal. */
static void print_changes(const uint8_t *a, const uint8_t *b, int64_t height, int64_t width) {
    int64_t facts[7];
    printf("changed %lld\n", (long long)imgdup_count_changed(a, b, height, 3 * width, 2, 9));
    imgdup_add_squares(a, b, height * width, facts);
    printf("squares %lld %lld\n", (long long)facts[0], (long long)facts[1]);
    imgdup_add_changes(a, b, height, width, 2, facts);
    for (int k = 0; k < 7; k++)
        printf("%lld%s", (long long)facts[k], k < 6 ? " " : "\n");
}

/* Print what the blocks of pictures (height, width, 3) and of planes (height, width) show. */
static void print_blocks(const uint8_t *rgb, float planes[4][MAX_PIXELS], int64_t height,
                         int64_t width) {
    static uint8_t row[3 * MAX_SIDE], clipped[MAX_PIXELS], varied[MAX_PIXELS];
    static float shown[MAX_PIXELS], errors[MAX_PIXELS];
    const uint8_t limits[] = {1, 254};
    const float *mixed[] = {planes[1], planes[2], planes[3]};
    int64_t n_blocks = height / 8 * (width / 8), n = 0;
    imgdup_clipped_blocks(rgb, 3 * width, height, width, 3, limits, row, clipped);
    imgdup_varied_blocks(planes[0], height, width, 300, clipped, varied);
    int32_t places[16], tables[2][64];
    int64_t counts[2];
    for (int i = 0; i < 64; i++) {
        places[i % 16] = i;
        tables[0][i] = 2 + i % 7;
        tables[1][i] = 9 + i % 5;
    }
    imgdup_on_steps(planes[0], places, 16, tables[0], 2, 1.5, counts);
    printf("on steps %lld %lld\n", (long long)counts[0], (long long)counts[1]);
    for (int64_t i = 0; i < n_blocks; i++) {
        printf("%d%d%s", clipped[i], varied[i], i + 1 < n_blocks ? " " : "\n");
        varied[i] |= i % 2 == 0;
        n += varied[i];
    }
    imgdup_mixture_errors(planes[0], mixed, 3, height, width, varied, 0.001, shown, errors);
    print_floats("shown", shown, (int)(64 * n));
    print_floats("errors", errors, (int)(64 * n));
}

/* Print where blocks begin in a plane, and how much detail it shows. */
static void print_detail(const float *plane, int64_t height, int64_t width, const float *cosines) {
    static float halves[MAX_PIXELS];
    ImgdupDetail rules = {cosines, 32, 1.0 / 12, 0.5, 0.3, 0.75};
    int64_t start[2];
    imgdup_grid_start(plane, height, width, 32, start);
    double share = imgdup_detail_share(plane, height, width, &rules, halves);
    printf("start %lld %lld\n", (long long)start[0], (long long)start[1]);
    print_doubles("detail", &share, 1);
}

/* Compare two painted pictures in every way, and print the sums. */
static void print_sums(void) {
    static uint8_t bytes[2][3 * MAX_PIXELS], small[3 * MAX_PIXELS], weights[MAX_PIXELS];
    static float planes[4][MAX_PIXELS], scratch[12 * (MAX_SIDE + 16)], moments[6 * MAX_PIXELS];
    static float textures[MAX_PIXELS];
    static double doubles[5 * MAX_SIDE];
    static int64_t ends[MAX_SIDE];
    static uint32_t widths[42 * (MAX_SIDE + 32)];
    static float blurred[2 * MAX_PIXELS + 2 * MAX_SIDE + 16];
    double sums[3], products[64] = {0}, wanted[8] = {0};
    float cosines[64];
    int height = 8 + (int)next(MAX_SIDE - 8), width = 8 + (int)next(MAX_SIDE - 8);
    int n = height * width, side = 2 + (int)next(9), stride = (width + 15) / 16 * 16;
    for (int i = 0; i < 3 * n; i++) {
        bytes[0][i] = (uint8_t)((i * 7 / width + i % width * 3 + next(40)) % 256);
        bytes[1][i] = (uint8_t)((bytes[0][i] * 3 + next(60)) / 4);
    }
    for (int i = 0; i < n; i++) {
        weights[i] = (uint8_t)next(256);
        for (int p = 0; p < 4; p++)
            planes[p][i] = (float)(bytes[p % 2][i] * 1000 + next(4000)) / 1020.0f;
    }
    for (int i = 0; i < 64; i++)
        cosines[i] = (float)(next(2000) - 1000) / 1000.0f;
    print_levels(bytes[0], bytes[1], height, width);
    print_colours(bytes[0], height, width, moments);
    print_changes(bytes[0], bytes[1], height, width);
    print_blocks(bytes[0], planes, height, width);
    float gaussian[5] = {0.25f, 0.2f, 0.1f, 0.05f, 0.025f};
    ImgdupBlurs blurs = {.fine = gaussian + 1, .coarse = gaussian, .fine_reach = 2,
                         .coarse_reach = 4, .damping = 0.001};
    sums[2] = imgdup_fit_filter(planes[0], planes[1], height, width, &blurs, blurred, moments, sums);
    print_doubles("filter", sums, 3);
    print_floats("fitted", moments, n);
    imgdup_blur(planes[0], height, width, 1, gaussian, 4, scratch, moments);
    print_floats("blur", moments, n);
    int length = height < width ? height : width;
    imgdup_lines(bytes[0], 3 * width, 3, height, width, 5, planes[1], moments);
    print_floats("lines", moments, 10 * length);
    imgdup_line_powers(moments, 10, length / 2, doubles);
    print_doubles("line powers", doubles, length / 2);
    double detail = imgdup_fine_detail(planes[0], height, width, gaussian, 4, scratch);
    print_doubles("detail", &detail, 1);
    float blend_weights[3] = {0.5f, 0.75f, -0.25f};
    imgdup_blend(planes[0], planes[1], planes[2], n, blend_weights, moments);
    print_floats("blend", moments, n);
    for (int window = 1; window <= 16; window *= 2) {
        imgdup_window_means(planes[0], 2, height, width, window, doubles, moments);
        print_floats("windows", moments, 2 * n);
    }
    for (int i = 0; i < width; i++) {
        doubles[i] = planes[0][i];
        doubles[width + i] = planes[1][i] + 1;
    }
    imgdup_ascending(doubles, doubles + width, width, doubles + 2 * width, doubles + 3 * width, ends,
                     doubles + 4 * width);
    print_doubles("ascending", doubles + 4 * width, width);
    imgdup_block_moments(planes[0], planes[1], height, width, side, scratch, moments);
    print_floats("moments", moments, 6 * ((height + side - 1) / side) * ((width + side - 1) / side));
    ImgdupAgreement rules = {.least = 40, .mean_share = 0.25, .floor = 1e-3f, .correlated = 0.95f};
    int64_t counts[2];
    imgdup_count_agreeing(moments, ((height + side - 1) / side) * ((width + side - 1) / side),
                          &rules, textures, counts);
    printf("agreeing %lld %lld\n", (long long)counts[0], (long long)counts[1]);
    print_place(bytes[0], bytes[1], height, width);
    print_agreement(bytes[0], bytes[1], height, width);
    for (int pair = 0; pair < 3; pair++)
        imgdup_block_moments(planes[pair], planes[pair + 1], height, width, 2, scratch,
                             moments + 6 * pair * ((height + 1) / 2) * ((width + 1) / 2));
    print_excess(moments, (height + 1) / 2, (width + 1) / 2);
    int low = 1 + (int)next(height), narrow = 1 + (int)next(width);
    imgdup_shrink(bytes[0], height, width, 3, small, low, narrow, widths);
    for (int i = 0; i < 3 * low * narrow; i++)
        printf("%d%s", small[i], i + 1 < 3 * low * narrow ? " " : "\n");
    memset(scratch, 0, sizeof scratch);
    imgdup_step_sums(bytes[0], bytes[1], height, width, stride, scratch, small, products, wanted);
    print_doubles("products", products, STEP_PARTS * STEP_PARTS);
    print_doubles("wanted", wanted, STEP_PARTS);
    print_curve(bytes[0], bytes[1], weights, height, width);
    print_detail(planes[0], height, width, cosines);
}

int main(void) {
    memset(slots, 0xFF, sizeof slots);
    fill_hashes();
    print_pairs();
    print_near();
    print_parts();
    print_likely_parts();
    for (int i = 0; i < N_PICTURES; i++)
        print_sums();
    return 0;
}
