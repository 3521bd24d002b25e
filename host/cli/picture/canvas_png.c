/*
 * Draws into pixels and writes them with libpng. Lines and dots are blended by their distance, text uses the small
 * letters below at twice their size. Only built where libpng is found.
 */
#include "picture/canvas.h"

#if CLATTN_HAVE_PNG
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Letters of 5 by 7 points, a row a byte, the leftmost point in bit 4; g p q y stand two rows lower. */
static const char known_letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,-/()%:_=+#'!?;\"";
static const uint8_t points[][7] = {
    { 14, 17, 19, 21, 25, 17, 14 }, { 4, 12, 4, 4, 4, 4, 14 },      { 14, 17, 1, 2, 4, 8, 31 },
    { 31, 2, 4, 2, 1, 17, 14 },     { 2, 6, 10, 18, 31, 2, 2 },     { 31, 16, 30, 1, 1, 17, 14 },
    { 6, 8, 16, 30, 17, 17, 14 },   { 31, 1, 2, 4, 8, 8, 8 },       { 14, 17, 17, 14, 17, 17, 14 },
    { 14, 17, 17, 15, 1, 2, 12 },   { 14, 17, 17, 31, 17, 17, 17 }, { 30, 17, 17, 30, 17, 17, 30 },
    { 14, 17, 16, 16, 16, 17, 14 }, { 28, 18, 17, 17, 17, 18, 28 }, { 31, 16, 16, 30, 16, 16, 31 },
    { 31, 16, 16, 30, 16, 16, 16 }, { 14, 17, 16, 23, 17, 17, 15 }, { 17, 17, 17, 31, 17, 17, 17 },
    { 14, 4, 4, 4, 4, 4, 14 },      { 7, 2, 2, 2, 2, 18, 12 },      { 17, 18, 20, 24, 20, 18, 17 },
    { 16, 16, 16, 16, 16, 16, 31 }, { 17, 27, 21, 21, 17, 17, 17 }, { 17, 17, 25, 21, 19, 17, 17 },
    { 14, 17, 17, 17, 17, 17, 14 }, { 30, 17, 17, 30, 16, 16, 16 }, { 14, 17, 17, 17, 21, 18, 13 },
    { 30, 17, 17, 30, 20, 18, 17 }, { 15, 16, 16, 14, 1, 1, 30 },   { 31, 4, 4, 4, 4, 4, 4 },
    { 17, 17, 17, 17, 17, 17, 14 }, { 17, 17, 17, 17, 17, 10, 4 },  { 17, 17, 17, 21, 21, 21, 10 },
    { 17, 17, 10, 4, 10, 17, 17 },  { 17, 17, 17, 10, 4, 4, 4 },    { 31, 1, 2, 4, 8, 16, 31 },
    { 0, 0, 14, 1, 15, 17, 15 },    { 16, 16, 22, 25, 17, 17, 30 }, { 0, 0, 14, 16, 16, 17, 14 },
    { 1, 1, 13, 19, 17, 17, 15 },   { 0, 0, 14, 17, 31, 16, 14 },   { 6, 9, 8, 28, 8, 8, 8 },
    { 15, 17, 17, 17, 15, 1, 14 },  { 16, 16, 22, 25, 17, 17, 17 }, { 4, 0, 12, 4, 4, 4, 14 },
    { 2, 0, 6, 2, 2, 18, 12 },      { 16, 16, 18, 20, 24, 20, 18 }, { 12, 4, 4, 4, 4, 4, 14 },
    { 0, 0, 26, 21, 21, 17, 17 },   { 0, 0, 22, 25, 17, 17, 17 },   { 0, 0, 14, 17, 17, 17, 14 },
    { 30, 17, 17, 17, 30, 16, 16 }, { 15, 17, 17, 17, 15, 1, 1 },   { 0, 0, 22, 25, 16, 16, 16 },
    { 0, 0, 14, 16, 14, 1, 30 },    { 8, 8, 28, 8, 8, 9, 6 },       { 0, 0, 17, 17, 17, 19, 13 },
    { 0, 0, 17, 17, 17, 10, 4 },    { 0, 0, 17, 17, 21, 21, 10 },   { 0, 0, 17, 10, 4, 10, 17 },
    { 17, 17, 17, 17, 15, 1, 14 },  { 0, 0, 31, 2, 4, 8, 31 },      { 0, 0, 0, 0, 0, 12, 12 },
    { 0, 0, 0, 0, 12, 4, 8 },       { 0, 0, 0, 31, 0, 0, 0 },       { 0, 1, 2, 4, 8, 16, 0 },
    { 2, 4, 8, 8, 8, 4, 2 },        { 8, 4, 2, 2, 2, 4, 8 },        { 24, 25, 2, 4, 8, 19, 3 },
    { 0, 12, 12, 0, 12, 12, 0 },    { 0, 0, 0, 0, 0, 0, 31 },       { 0, 0, 31, 0, 31, 0, 0 },
    { 0, 4, 4, 31, 4, 4, 0 },       { 10, 10, 31, 10, 31, 10, 10 }, { 4, 4, 8, 0, 0, 0, 0 },
    { 4, 4, 4, 4, 4, 0, 4 },        { 14, 17, 1, 2, 4, 0, 4 },      { 0, 0, 4, 0, 4, 4, 8 },
    { 10, 10, 0, 0, 0, 0, 0 },
};
static const uint8_t unknown_points[7] = { 31, 17, 17, 17, 17, 17, 31 };

static void blend(attn_canvas *canvas, int x, int y, double part, uint32_t colour) {
    if (x < 0 || y < 0 || x >= canvas->width || y >= canvas->height || part <= 0) {
        return;
    }
    uint8_t *pixel = canvas->pixels + 3 * ((size_t)y * (size_t)canvas->width + (size_t)x);
    for (int c = 0; c < 3; c++) {
        double target = (double)(colour >> (16 - 8 * c) & 255);
        pixel[c] = (uint8_t)(pixel[c] + (target - pixel[c]) * (part > 1 ? 1 : part) + 0.5);
    }
}

/* Distance of a point from a line of finite length. */
static double distance_to_line(double x, double y, double x0, double y0, double x1, double y1) {
    double dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    double along = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
    along = along < 0 ? 0 : along > 1 ? 1 : along;
    return hypot(x - x0 - along * dx, y - y0 - along * dy);
}

static void raster_line(attn_canvas *canvas, double x0, double y0, double x1, double y1, double thickness,
                        uint32_t colour) {
    int left = (int)(fmin(x0, x1) - thickness) - 1, right = (int)(fmax(x0, x1) + thickness) + 1;
    int top = (int)(fmin(y0, y1) - thickness) - 1, bottom = (int)(fmax(y0, y1) + thickness) + 1;
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            double distance = distance_to_line(x + 0.5, y + 0.5, x0, y0, x1, y1);
            blend(canvas, x, y, thickness / 2 + 0.5 - distance, colour);
        }
    }
}

static void raster_dot(attn_canvas *canvas, double x, double y, double radius, uint32_t colour) {
    raster_line(canvas, x, y, x, y, 2 * radius, colour);
}

static bool continues(char letter) { /* a UTF-8 character begins with another byte */
    return ((unsigned char)letter & 0xc0) == 0x80;
}

static void raster_letter(attn_canvas *canvas, int left, int top, bool up, char letter, uint32_t colour) {
    const char *found = strchr(known_letters, letter);
    const uint8_t *rows = found ? points[found - known_letters] : unknown_points;
    int lower = strchr("gpqy", letter) ? 4 : 0;
    for (int y = 0; y < 14 && letter != ' '; y++) {
        for (int x = 0; x < 10; x++) {
            if ((rows[y / 2] >> (4 - x / 2) & 1) != 0) {
                blend(canvas, up ? left + y + lower : left + x, up ? top - x : top + y + lower, 1, colour);
            }
        }
    }
}

static void raster_text(attn_canvas *canvas, double x, double y, attn_anchor anchor, uint32_t colour,
                        const char *text) {
    int letters = 0;
    for (const char *at = text; *at != '\0'; at++) {
        letters += !continues(*at);
    }
    int width = 12 * letters - 2;
    int left = (int)x - (anchor == ATTN_ANCHOR_START ? 0 : anchor == ATTN_ANCHOR_MIDDLE ? width / 2 : width);
    for (; *text != '\0'; text++) {
        if (!continues(*text)) {
            raster_letter(canvas, left, (int)y - 7, false, *text, colour);
            left += 12;
        }
    }
}

static void raster_text_up(attn_canvas *canvas, double x, double y, uint32_t colour, const char *text) {
    for (int bottom = (int)y; *text != '\0'; text++) {
        if (!continues(*text)) {
            raster_letter(canvas, (int)x - 7, bottom, true, *text, colour);
            bottom -= 12;
        }
    }
}

static void raster_box(attn_canvas *canvas, double x, double y, double width, double height, uint32_t colour) {
    for (int at_y = (int)y; at_y < (int)(y + height); at_y++) {
        for (int at_x = (int)x; at_x < (int)(x + width); at_x++) {
            blend(canvas, at_x, at_y, 1, colour);
        }
    }
}

int attn_canvas_png_begin(attn_canvas *canvas, int width, int height) {
    size_t bytes = 3 * (size_t)width * (size_t)height;
    *canvas = (attn_canvas){ width,      height,      NULL,           malloc(bytes), raster_line,
                             raster_dot, raster_text, raster_text_up, raster_box };
    if (!canvas->pixels) {
        return 0;
    }
    memset(canvas->pixels, 255, bytes);
    return 1;
}

int attn_canvas_png_end(attn_canvas *canvas, FILE *file) {
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)canvas->width;
    image.height = (png_uint_32)canvas->height;
    image.format = PNG_FORMAT_RGB;
    int written = png_image_write_to_stdio(&image, file, 0, canvas->pixels, 0, NULL);
    png_image_free(&image);
    free(canvas->pixels);
    canvas->pixels = NULL;
    return written;
}
#else
typedef int no_png; /* an empty file is not C */
#endif
