/* The fixed part of the page of gptoss parity --html: parity_page.html as a C string, made by the
 * build. */
#ifndef GPTOSS_TOOL_PARITY_PAGE_H
#define GPTOSS_TOOL_PARITY_PAGE_H

/* Holds {{verdict}}, {{sentence}}, {{report}} and {{data}} once each, in this order. */
extern const char parity_page[];

#endif
