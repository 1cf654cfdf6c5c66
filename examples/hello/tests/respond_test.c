/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests; the report goes to the file named by the first argument, in JUnit's format. */
#include <stdio.h>
#include <string.h>

#include "../src/respond.h"
#include "../src/version.h"

static char out[1024];
static size_t used;

static enum outcome ask(const char *request, int draining) { return respond(request, strlen(request), draining, &used, out, sizeof out); }

static int answers_with_its_version(void) {
  return ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0) == KEEP && strstr(out, "hello from version " HELLO_VERSION "\n") != NULL;
}
static int waits_for_the_whole_request(void) { return ask("GET / HTTP/1.1\r\n", 0) == NEED_MORE; }
static int closes_when_asked(void) { return ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 0) == CLOSE; }
static int sends_clients_away_while_draining(void) { return ask("GET / HTTP/1.1\r\n\r\n", 1) == CLOSE && strstr(out, "Connection: close\r\n") != NULL; }
static int takes_one_request_of_two(void) { return ask("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 0) == KEEP && used == 18; }
static int refuses_other_methods(void) { return ask("POST / HTTP/1.1\r\n\r\n", 0) == BAD; }
static int does_not_know_other_paths(void) { return ask("GET /x HTTP/1.1\r\n\r\n", 0) == KEEP && strstr(out, "404") != NULL; }

static const struct {
  const char *name;
  int (*run)(void);
} tests[] = {
    {"answers_with_its_version", answers_with_its_version},
    {"waits_for_the_whole_request", waits_for_the_whole_request},
    {"closes_when_asked", closes_when_asked},
    {"sends_clients_away_while_draining", sends_clients_away_while_draining},
    {"takes_one_request_of_two", takes_one_request_of_two},
    {"refuses_other_methods", refuses_other_methods},
    {"does_not_know_other_paths", does_not_know_other_paths},
};
enum { COUNT = sizeof tests / sizeof *tests };

int main(int argc, char **argv) {
  int passed[COUNT], failures = 0;
  for (int i = 0; i < COUNT; ++i) {
    passed[i] = tests[i].run();
    failures += !passed[i];
    printf("%s %s\n", passed[i] ? "ok  " : "FAIL", tests[i].name);
  }
  FILE *report = argc > 1 ? fopen(argv[1], "w") : NULL;
  if (report) {
    fprintf(report, "<testsuite name=\"respond\" tests=\"%d\" failures=\"%d\">\n", COUNT, failures);
    for (int i = 0; i < COUNT; ++i) {
      fprintf(report, "  <testcase classname=\"respond\" name=\"%s\">", tests[i].name);
      if (!passed[i]) fprintf(report, "<failure message=\"the check does not hold\"/>");
      fprintf(report, "</testcase>\n");
    }
    fprintf(report, "</testsuite>\n");
    fclose(report);
  }
  return failures != 0;
}
