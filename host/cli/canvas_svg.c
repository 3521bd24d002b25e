/* Draws as SVG: every call is one element. Text is kept as text, in whatever sans-serif font the viewer has. */
#include "canvas.h"

static void attn_svg_line(attn_canvas *canvas, double x0, double y0, double x1, double y1, double thickness,
                          uint32_t colour) {
    fprintf(canvas->svg,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#%06x\" stroke-width=\"%.1f\" "
            "stroke-linecap=\"round\"/>\n",
            x0, y0, x1, y1, (unsigned)colour, thickness);
}

static void attn_svg_dot(attn_canvas *canvas, double x, double y, double radius, uint32_t colour) {
    fprintf(canvas->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#%06x\"/>\n", x, y, radius,
            (unsigned)colour);
}

static void attn_svg_text(attn_canvas *canvas, double x, double y, attn_anchor anchor, uint32_t colour,
                          const char *text) {
    static const char *const anchors[] = { "start", "middle", "end" };
    fprintf(canvas->svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#%06x\">", x, y + 5, anchors[anchor],
            (unsigned)colour);
    for (; *text != '\0'; text++) {
        switch (*text) {
            case '<': fputs("&lt;", canvas->svg); break;
            case '>': fputs("&gt;", canvas->svg); break;
            case '&': fputs("&amp;", canvas->svg); break;
            default: fputc(*text, canvas->svg); break;
        }
    }
    fputs("</text>\n", canvas->svg);
}

void attn_canvas_svg_begin(attn_canvas *canvas, int width, int height, FILE *file) {
    *canvas = (attn_canvas){ width, height, file, NULL, attn_svg_line, attn_svg_dot, attn_svg_text };
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"14\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            width, height, width, height);
}

void attn_canvas_svg_end(attn_canvas *canvas) {
    fputs("</svg>\n", canvas->svg);
}
