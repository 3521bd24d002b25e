/* What a plot draws on: lines and text in pixels, x to the right, y down. */
#ifndef ATTN_CLI_PICTURE_CANVAS_H
#define ATTN_CLI_PICTURE_CANVAS_H

#include <stdint.h>
#include <stdio.h>

typedef enum attn_anchor { ATTN_ANCHOR_START, ATTN_ANCHOR_MIDDLE, ATTN_ANCHOR_END } attn_anchor;

typedef struct attn_canvas attn_canvas;
struct attn_canvas {
    int width, height;
    FILE *svg;       /* SVG: written as it is drawn */
    uint8_t *pixels; /* PNG: RGB rows */
    void (*line)(attn_canvas *canvas, double x0, double y0, double x1, double y1, double thickness, uint32_t colour);
    void (*dot)(attn_canvas *canvas, double x, double y, double radius, uint32_t colour);
    void (*text)(attn_canvas *canvas, double x, double y, attn_anchor anchor, uint32_t colour, const char *text);
    void (*text_up)(attn_canvas *canvas, double x, double y, uint32_t colour, const char *text); /* read from below */
    void (*box)(attn_canvas *canvas, double x, double y, double width, double height, uint32_t colour);
};

/** Draws into an SVG file. */
void attn_canvas_svg_begin(attn_canvas *canvas, int width, int height, FILE *file);
void attn_canvas_svg_end(attn_canvas *canvas);

#if CLATTN_HAVE_PNG
/** Draws into memory; end writes the PNG. Both answer 0 when they fail. */
int attn_canvas_png_begin(attn_canvas *canvas, int width, int height);
int attn_canvas_png_end(attn_canvas *canvas, FILE *file);
#endif

#endif
