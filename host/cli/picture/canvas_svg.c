/* Draws as SVG: every call is one element. Text is kept as text, in whatever sans-serif font the viewer has. */
#include "picture/canvas.h"

#include <string.h>

#include "base/utf8.h"

static void svg_line(attn_canvas *canvas, double x0, double y0, double x1, double y1, double thickness,
                     uint32_t colour) {
    fprintf(canvas->svg,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#%06x\" stroke-width=\"%.1f\" "
            "stroke-linecap=\"round\"/>\n",
            x0, y0, x1, y1, (unsigned)colour, thickness);
}

static void svg_dot(attn_canvas *canvas, double x, double y, double radius, uint32_t colour) {
    fprintf(canvas->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#%06x\"/>\n", x, y, radius,
            (unsigned)colour);
}

/* XML is UTF-8 without control characters; what is neither is drawn as U+FFFD. */
static void svg_letters(FILE *file, const char *text) {
    uint32_t code;
    int64_t left = (int64_t)strlen(text);
    for (int length; left > 0; text += length, left -= length) {
        length = attn_utf8_next(text, left, &code);
        bool known = length > 0 && code >= ' ' && code != 0xfffe && code != 0xffff;
        length = length > 0 ? length : 1;
        switch (known ? code : 0) {
            case 0: fputs("\xef\xbf\xbd", file); break;
            case '<': fputs("&lt;", file); break;
            case '>': fputs("&gt;", file); break;
            case '&': fputs("&amp;", file); break;
            default: fwrite(text, 1, (size_t)length, file); break;
        }
    }
    fputs("</text>\n", file);
}

static void svg_text(attn_canvas *canvas, double x, double y, attn_anchor anchor, uint32_t colour, const char *text) {
    static const char *const anchors[] = { "start", "middle", "end" };
    fprintf(canvas->svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#%06x\">", x, y + 5, anchors[anchor],
            (unsigned)colour);
    svg_letters(canvas->svg, text);
}

static void svg_text_up(attn_canvas *canvas, double x, double y, uint32_t colour, const char *text) {
    fprintf(canvas->svg, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" fill=\"#%06x\">", x + 5, y,
            (unsigned)colour);
    svg_letters(canvas->svg, text);
}

static void svg_box(attn_canvas *canvas, double x, double y, double width, double height, uint32_t colour) {
    fprintf(canvas->svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#%06x\"/>\n", x, y, width,
            height, (unsigned)colour);
}

void attn_canvas_svg_begin(attn_canvas *canvas, int width, int height, FILE *file) {
    *canvas = (attn_canvas){ width, height, file, NULL, svg_line, svg_dot, svg_text, svg_text_up, svg_box };
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"14\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            width, height, width, height);
}

void attn_canvas_svg_end(attn_canvas *canvas) {
    fputs("</svg>\n", canvas->svg);
}
