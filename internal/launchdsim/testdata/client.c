/*
 * A client of the embedded launchd that shares no code with it: it speaks the
 * socket frame and the XPC wire format by hand.
 *
 *   client SOCKET number|dictionary TYPE HANDLE [VERB ARGUMENT]...
 *
 * sends one request for each verb over one connection and prints each reply. The
 * routine goes into the frame (number), or into the message with a 0 in the frame
 * (dictionary). Exit: 0 whatever launchd answered, 1 if it did not answer properly,
 * 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAGIC = 0x40585043, VERSION = 5, MAX_FRAME = 16 << 20, TEXT = 1 << 20 };
enum { T_NULL = 0x1000, T_BOOL = 0x2000, T_INT64 = 0x3000, T_UINT64 = 0x4000, T_STRING = 0x9000,
       T_SHMEM = 0xc000, T_SEND = 0xd000, T_ARRAY = 0xe000, T_DICT = 0xf000 };

static void die(int code, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fflush(stdout);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	exit(code);
}

/* ---- writing: little-endian, everything padded to 4 bytes ---- */

static uint8_t out[1 << 16];
static size_t len;

static void put(const void *p, size_t n)
{
	if (len + n + 4 > sizeof out)
		die(1, "the message is too long");
	memcpy(out + len, p, n);
	for (len += n; len % 4; len++)
		out[len] = 0;
}

static void patch32(size_t at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[at + i] = (uint8_t)(v >> 8 * i);
}

static void put32(uint32_t v)
{
	uint8_t zero[4] = {0};
	put(zero, 4);
	patch32(len - 4, v);
}

static void put64(uint64_t v)
{
	put32((uint32_t)v);
	put32((uint32_t)(v >> 32));
}

static void put_text(const char *s) { put(s, strlen(s) + 1); }

/* A container's length counts from its count on; close_container fills in both. */
static size_t open_container(uint32_t type)
{
	put32(type);
	put64(0);
	return len;
}

static void close_container(size_t start, uint32_t count)
{
	patch32(start - 8, (uint32_t)(len - start + 4));
	patch32(start - 4, count);
}

static void put_string(const char *s)
{
	put32(T_STRING);
	put32((uint32_t)strlen(s) + 1);
	put_text(s);
}

/* One of these for each kind of entry; they return 1, the number of entries. */

static int add_uint64(const char *key, uint64_t v)
{
	put_text(key);
	put32(T_UINT64);
	put64(v);
	return 1;
}

static int add_true(const char *key)
{
	put_text(key);
	put32(T_BOOL);
	put32(1);
	return 1;
}

static int add_string(const char *key, const char *v)
{
	put_text(key);
	put_string(v);
	return 1;
}

static int add_list(const char *key, const char *only)
{
	put_text(key);
	size_t start = open_container(T_ARRAY);
	put_string(only);
	close_container(start, 1);
	return 1;
}

/* The descriptor itself travels beside the message. */
static int add_shmem(const char *key)
{
	put_text(key);
	put32(T_SHMEM);
	put64(TEXT);
	return 1;
}

/* ---- reading: nothing is believed ---- */

struct in {
	const uint8_t *p, *end;
};

static const uint8_t *take(struct in *in, size_t n)
{
	const uint8_t *p = in->p;
	size_t padded = (n + 3) & ~(size_t)3;
	if (padded < n || padded > (size_t)(in->end - in->p))
		die(1, "malformed reply: %zu bytes wanted, %zu left", n, (size_t)(in->end - in->p));
	in->p += padded;
	return p;
}

static uint32_t get32(struct in *in)
{
	const uint8_t *p = take(in, 4);
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(struct in *in)
{
	uint64_t low = get32(in);
	return low | (uint64_t)get32(in) << 32;
}

static const char *get_text(struct in *in, size_t n)
{
	const char *s = (const char *)take(in, n);
	if (n == 0 || memchr(s, 0, n) != s + n - 1)
		die(1, "malformed reply: a string that does not end at its NUL");
	return s;
}

static void print_object(struct in *in, int depth);

static void print_items(struct in *in, int depth, int keys)
{
	uint32_t n = get32(in);
	if (n % 4 || depth > 16)
		die(1, "malformed reply: a container of %u bytes at depth %d", n, depth);
	struct in inner = { .p = take(in, n) };
	inner.end = in->p;
	for (uint32_t count = get32(&inner); count > 0; count--) {
		printf("\n%*s", 2 * depth, "");
		if (keys) {
			size_t k = strnlen((const char *)inner.p, (size_t)(inner.end - inner.p));
			printf("%s = ", get_text(&inner, k + 1));
		}
		print_object(&inner, depth + 1);
	}
	if (inner.p != inner.end)
		die(1, "malformed reply: bytes left over");
}

static void print_object(struct in *in, int depth)
{
	uint32_t type = get32(in);
	switch (type) {
	case T_NULL:   printf("null"); break;
	case T_BOOL:   printf("bool %s", get32(in) ? "true" : "false"); break;
	case T_INT64:  printf("int64 %" PRId64, (int64_t)get64(in)); break;
	case T_UINT64: printf("uint64 %" PRIu64, get64(in)); break;
	case T_STRING: printf("string %s", get_text(in, get32(in))); break;
	case T_SEND:   get32(in); printf("send right"); break;
	case T_ARRAY:  printf("array"); print_items(in, depth, 0); break;
	case T_DICT:   printf("dictionary"); print_items(in, depth, 1); break;
	default:       die(1, "malformed reply: an object of type %#x", type);
	}
}

/* ---- the socket ---- */

static void send_frame(int s, int fd)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec data = { out, len };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1 };
	if (fd >= 0) { /* with the first byte */
		memset(&control, 0, sizeof control);
		m.msg_control = control.room;
		m.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (data.iov_len > 0) {
		ssize_t n = sendmsg(s, &m, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(1, "send: %s", strerror(errno));
		data.iov_base = (uint8_t *)data.iov_base + n;
		data.iov_len -= (size_t)n;
		m.msg_control = NULL;
		m.msg_controllen = 0;
	}
}

static void receive(int s, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = read(s, p, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			die(1, "receive: %s", k < 0 ? strerror(errno) : "the server closed the connection");
		p += k;
		n -= (size_t)k;
	}
}

static void print_reply(int s)
{
	uint8_t head[4];
	receive(s, head, 4);
	struct in in = { head, head + 4 };
	uint32_t n = get32(&in);
	if (n < 4 || n > MAX_FRAME)
		die(1, "malformed reply: a frame of %u bytes", n);
	uint8_t *body = malloc(n);
	if (!body)
		die(1, "no memory");
	receive(s, body, n);
	in = (struct in){ body, body + n };
	uint32_t transport = get32(&in);
	if (transport) {
		printf("transport error %" PRId32, (int32_t)transport);
	} else {
		if (get32(&in) != MAGIC || get32(&in) != VERSION)
			die(1, "malformed reply: not XPC version %d", VERSION);
		print_object(&in, 1);
		if (in.p != in.end)
			die(1, "malformed reply: bytes after the message");
	}
	putchar('\n');
	free(body);
}

static int shared_memory(void)
{
#ifdef __linux__
	int fd = memfd_create("print", MFD_CLOEXEC);
#else
	char name[] = "/tmp/print.XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
#endif
	if (fd < 0 || ftruncate(fd, TEXT) < 0)
		die(1, "shared memory: %s", strerror(errno));
	return fd;
}

/* ---- requests ---- */

static const struct verb {
	const char *name;
	uint64_t routine;
	const char *target; /* the key of the argument */
	int list;           /* which is an array of one then */
	const char *flags[3];
	int prints;
} verbs[] = {
	{ "bootstrap",    800, "paths", 1, { "by-cli" }, 0 },
	{ "bootout",      801, "name",  0, { "no-einprogress" }, 0 },
	{ "bootout-wait", 801, "name",  0, { "wait" }, 0 },
	{ "kickstart",    702, "name",  0, { 0 }, 0 },
	{ "restart",      702, "name",  0, { "kill", "unthrottle" }, 0 },
	{ "probe",        708, "name",  0, { 0 }, 0 },
	{ "print",        708, "name",  0, { 0 }, 1 },
	{ "print-domain", 828, NULL,    0, { 0 }, 1 },
	{ "list",         815, "name",  0, { 0 }, 0 },
	{ "list-all",     815, NULL,    0, { 0 }, 0 },
	{ "enable",       808, "names", 1, { 0 }, 0 },
	{ "disable",      809, "names", 1, { 0 }, 0 },
	{ "enabled",      811, "name",  0, { 0 }, 0 },
};

static void call(int s, int in_dictionary, uint64_t type, uint64_t handle, const struct verb *v, const char *argument)
{
	len = 0;
	put32(0); /* the frame's length, see below */
	put64(in_dictionary ? 0 : v->routine);
	put32(0); /* flags */
	put32(MAGIC);
	put32(VERSION);
	size_t start = open_container(T_DICT);
	uint32_t count = add_uint64("type", type) + add_uint64("handle", handle);
	if (in_dictionary)
		count += add_uint64("subsystem", v->routine < 800 ? 2 : 3) + add_uint64("routine", v->routine);
	if (v->target)
		count += v->list ? add_list(v->target, argument) : add_string(v->target, argument);
	for (int i = 0; v->flags[i]; i++)
		count += add_true(v->flags[i]);
	int fd = -1;
	if (v->prints) {
		fd = shared_memory();
		count += add_shmem("shmem");
	}
	close_container(start, count);
	patch32(0, (uint32_t)len - 4);

	printf("> %s %s\n", v->name, argument);
	send_frame(s, fd);
	print_reply(s);
	if (fd < 0)
		return;
	/* What the server wrote is up to its end, or to the first NUL. */
	char *text = mmap(NULL, TEXT, PROT_READ, MAP_SHARED, fd, 0);
	if (text == MAP_FAILED)
		die(1, "mmap: %s", strerror(errno));
	printf("%.*s", (int)strnlen(text, TEXT), text);
	munmap(text, TEXT);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 5 || argc % 2 == 0)
		die(2, "usage: client SOCKET number|dictionary TYPE HANDLE [VERB ARGUMENT]...");
	signal(SIGPIPE, SIG_IGN); /* a server that hangs up is an error like others */
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(argv[1]) >= sizeof address.sun_path)
		die(2, "the socket's path is too long");
	strcpy(address.sun_path, argv[1]);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) < 0)
		die(1, "%s: %s", argv[1], strerror(errno));
	for (int i = 5; i < argc; i += 2) {
		const struct verb *v = verbs, *end = verbs + sizeof verbs / sizeof *verbs;
		while (v < end && strcmp(v->name, argv[i]) != 0)
			v++;
		if (v == end)
			die(2, "no verb %s", argv[i]);
		call(s, strcmp(argv[2], "dictionary") == 0, strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10), v, argv[i + 1]);
	}
	return 0;
}
