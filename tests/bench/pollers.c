/*
 * Hosts that ask a FleetLock server over connections that they keep, for benchmarks: the server, and not this, is to be what
 * is measured, so it does little. One process, one request at a time on each connection, no pipelining; what is sent is made
 * beforehand, and of an answer only the code and the length are read.
 *
 *     pollers NAME=VALUE...
 *     port=8080  connections=1000  group=web  prefix=host-   the ids are PREFIX and four digits
 *     paths=/v1/pre-reboot,/v1/steady-state                  asked in turn by each
 *     header=Prefer: wait=600                                one header more
 *     seconds=5  warmup=1                                    for so long; the warm-up does not count
 *     requests=1                                             or until each has asked so often; all begin at once
 *     rate=20000                                             so many a second in all; without it as fast as it answers
 *     ca=PEM  ca-key=PEM                                     over TLS, each with a certificate for its id, signed here
 *
 * With a rate, an answer takes from the moment at which the request was due, sent late or not. Prints `ready` when all are
 * connected, and a line of JSON at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PATHS_MAX = 4, ANSWER_MAX = 8192, EVENTS_MAX = 256, BUCKETS = 2000000 };

struct connection {
  int fd;
  SSL *ssl;
  char *request[PATHS_MAX];
  int length[PATHS_MAX];
  int path;
  int asked;
  int busy;
  double since;   /* when the request that runs was due */
  double waiting; /* when the next was due that could not be sent yet; 0: none */
  int got;
  char answer[ANSWER_MAX];
};

static char **words;

static const char *option(const char *name, const char *fallback) {
  size_t length = strlen(name);
  for (char **word = words; *word; word++)
    if (!strncmp(*word, name, length) && (*word)[length] == '=') return *word + length + 1;
  return fallback;
}

static void fail(const char *what) {
  fprintf(stderr, "pollers: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static FILE *opened(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  return file;
}

/* A certificate for `id`; all have one key. */
static X509 *certificate(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, const char *id, long serial) {
  X509 *made = X509_new();
  X509_set_version(made, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made), serial);
  X509_gmtime_adj(X509_getm_notBefore(made), -60);
  X509_gmtime_adj(X509_getm_notAfter(made), 86400);
  X509_set_pubkey(made, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const unsigned char *)id, -1, -1, 0);
  X509_set_issuer_name(made, X509_get_subject_name(ca));
  X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "clientAuth");
  X509_add_ext(made, usage, -1);
  X509_EXTENSION_free(usage);
  if (!X509_sign(made, ca_key, EVP_sha256())) fail("sign");
  return made;
}

static void ask(struct connection *one, double due) {
  const char *request = one->request[one->path];
  int length = one->length[one->path];
  int sent = one->ssl ? SSL_write(one->ssl, request, length) : (int)write(one->fd, request, length);
  if (sent != length) fail("send");
  one->busy = 1;
  one->asked++;
  one->since = due;
  one->got = 0;
}

/* The code of a whole answer, or 0 while there is more to come. */
static int receive(struct connection *one) {
  for (;;) {
    int room = ANSWER_MAX - 1 - one->got;
    int got = one->ssl ? SSL_read(one->ssl, one->answer + one->got, room)
                       : (int)read(one->fd, one->answer + one->got, room);
    if (got <= 0) {
      int again = one->ssl ? SSL_get_error(one->ssl, got) == SSL_ERROR_WANT_READ : got < 0 && errno == EAGAIN;
      if (again) return 0;
      fprintf(stderr, "pollers: the server closed a connection\n");
      exit(1);
    }
    one->got += got;
    one->answer[one->got] = 0;
    char *end = strstr(one->answer, "\r\n\r\n");
    if (!end) continue;
    char *length = strcasestr(one->answer, "\r\ncontent-length:");
    int body = length && length < end ? atoi(length + 17) : 0;
    if (one->got < end + 4 - one->answer + body) continue;
    return atoi(one->answer + 9);
  }
}

int main(int count, char **arguments) {
  (void)count;
  words = arguments + 1;
  int port = atoi(option("port", "8080")), connections = atoi(option("connections", "1000"));
  double seconds = atof(option("seconds", "5")), warmup = atof(option("warmup", "0")), rate = atof(option("rate", "0"));
  int requests = atoi(option("requests", "0"));
  const char *header = option("header", NULL), *prefix = option("prefix", "host-"), *group = option("group", "default");
  const char *ca_path = option("ca", NULL);
  char *paths[PATHS_MAX], *list = strdup(option("paths", "/v1/pre-reboot"));
  int path_count = 0;
  for (char *path = strtok(list, ","); path && path_count < PATHS_MAX; path = strtok(NULL, ",")) paths[path_count++] = path;

  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  SSL_CTX *context = NULL;
  X509 *ca = NULL;
  EVP_PKEY *ca_key = NULL, *key = NULL;
  if (ca_path) {
    ca = PEM_read_X509(opened(ca_path), NULL, NULL, NULL);
    ca_key = PEM_read_PrivateKey(opened(option("ca-key", "")), NULL, NULL, NULL);
    key = EVP_EC_gen("P-256");
    context = SSL_CTX_new(TLS_client_method());
    if (!ca || !ca_key || !key || SSL_CTX_load_verify_locations(context, ca_path, NULL) != 1) fail(ca_path);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  }

  int poll = epoll_create1(0);
  struct connection *all = calloc(connections, sizeof *all);
  for (int i = 0; i < connections; i++) {
    struct connection *one = &all[i];
    char id[128], body[512];
    snprintf(id, sizeof id, "%s%04d", prefix, i);
    /* as Zincati sends it: spread over lines, and without a content type */
    int size = snprintf(body, sizeof body,
                        "{\n  \"client_params\": {\n    \"id\": \"%s\",\n    \"group\": \"%s\"\n  }\n}", id, group);
    for (int path = 0; path < path_count; path++)
      one->length[path] = asprintf(&one->request[path],
                                   "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nfleet-lock-protocol: true\r\n%s%s"
                                   "content-length: %d\r\n\r\n%s",
                                   paths[path], port, header ? header : "", header ? "\r\n" : "", size, body);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    int yes = 1;
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (context) {
      one->ssl = SSL_new(context);
      X509 *own = certificate(ca, ca_key, key, id, 1000 + i);
      SSL_use_certificate(one->ssl, own);
      SSL_use_PrivateKey(one->ssl, key);
      SSL_set_fd(one->ssl, one->fd);
      if (SSL_connect(one->ssl) != 1) fail("TLS");
    }
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    epoll_ctl(poll, EPOLL_CTL_ADD, one->fd, &event);
  }
  puts("ready");
  fflush(stdout);

  static unsigned histogram[BUCKETS]; /* of 10 microseconds */
  long codes[600] = {0}, answered = 0, due = 0;
  double began = now(), measured = began + warmup, end = measured + seconds, last = began, worst = 0;
  if (rate == 0)
    for (int i = 0; i < connections; i++) ask(&all[i], now());
  for (;;) {
    double at = now();
    if (requests ? answered >= (long)requests * connections : at >= end) break;
    if (requests && at >= end) break;
    if (rate > 0)
      for (; began + due / rate <= at; due++) {
        struct connection *one = &all[due % connections];
        double moment = began + due / rate;
        if (!one->busy) ask(one, moment);
        else if (one->waiting == 0) one->waiting = moment;
      }
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(poll, events, EVENTS_MAX, rate > 0 ? 1 : 20);
    for (int i = 0; i < ready; i++) {
      struct connection *one = events[i].data.ptr;
      int code = receive(one);
      if (code == 0) continue;
      at = now();
      if (at >= measured && code < 600) {
        double took = at - one->since;
        long bucket = took * 1e5;
        histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
        codes[code]++;
        answered++;
        last = at;
        if (took > worst) worst = took;
      }
      one->busy = 0;
      one->path = (one->path + 1) % path_count;
      if (rate > 0) {
        if (one->waiting > 0) ask(one, one->waiting);
        one->waiting = 0;
      } else if (!requests || one->asked < requests) ask(one, at);
    }
  }
  double p50 = 0, p99 = 0;
  long below = 0;
  for (long bucket = 0; bucket < BUCKETS; bucket++) {
    below += histogram[bucket];
    if (p50 == 0 && below * 2 >= answered) p50 = (bucket + 1) / 100.0;
    if (p99 == 0 && below * 100 >= answered * 99) p99 = (bucket + 1) / 100.0;
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double processor = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("{\"answered\":%ld,\"seconds\":%.3f,\"p50Ms\":%.2f,\"p99Ms\":%.2f,\"longestMs\":%.2f,\"processorSeconds\":%.2f,\"codes\":{",
         answered, last - measured, p50, p99, worst * 1000, processor);
  const char *comma = "";
  for (int code = 0; code < 600; code++)
    if (codes[code]) {
      printf("%s\"%d\":%ld", comma, code, codes[code]);
      comma = ",";
    }
  puts("}}");
  return 0;
}
