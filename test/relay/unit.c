/*
 * unit.c
 *		Tests of the relay's parts that need neither a database nor a gateway.
 *		Prints TAP; exits with 1 if a test failed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/database.h"
#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "relay/answer.h"
#include "relay/held.h"
#include "relay/metrics.h"
#include "relay/relay_int.h"
#include "relay/results.h"
#include "relay/sealed.h"
#include "relay/settings.h"
#include "relay/throttle.h"
#include "relay/trace.h"
#ifdef WITH_KAFKA
#include "kafka_unit.h"
#endif
#include "signing_unit.h"
#include "simulate.h"
#include "tap.h"

static char scratch[] = "/tmp/acteon-unit.XXXXXX";

/*
 * What is JSON, and what is not.
 */
static void
test_json_validity(void)
{
	static const char *const good[] = {
		"null",
		"true",
		"false",
		"0",
		"-0",
		"-1.5e+10",
		"1E5",
		"\"\"",
		"[]",
		"{}",
		" [ ] ",
		"\t{\n}\r",
		"[1,2,[3,{}]]",
		"{\"a\":{\"b\":[null]}}",
		"\"\\u0000\\ud800\\\"\\\\\\/\\b\"",
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
		"{\"a\": 1, \"a\": 2}",
		"[[[]],{}]",
		"\"\xf4\x8f\xbf\xbf\"",
		"\"\177\"",
		"1e400",
		"-1E+99999",
		"[1e-400, 0.1e00000000000000000000000000000000000001]",
		"123456789012345678901234567890123456789012345678901234567890",
		"[18446744073709551615, -9223372036854775809, 9223372036854775808]",
		"0.1234567890123456789012345678901234567890e+123456789",
		"[10000000000000000000000000000000000000000000000000000000000]",
		"{\"\\u0000\": \"\\u0000\", \"a\\u0000b\": 1}",
		"[\"\\udc00\", \"\\ud800\\ud800\\udc00\", \"\\ud83d\xc3\xa9\", \"\\ud83d\\n\"]",
		"{\"\\ud800\": 1}",
		"[\"\\\\u0000\", \"1234567890123456789012345678901234567890\", \"e123456\"]",
	};
	static const char *const bad[] = {
		"",
		" ",
		"nul",
		"nulll",
		"True",
		"01",
		"-",
		"1.",
		".5",
		"1e",
		"+1",
		"0x1",
		"NaN",
		"\"",
		"\"\\x\"",
		"\"\\u12g4\"",
		"\"\t\"",
		"'a'",
		"[",
		"[1",
		"[1,",
		"[1,]",
		"[,1]",
		"]",
		"{",
		"{\"a\"",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{1:2}",
		"[1}",
		"{\"a\":1]",
		"1 2",
		"[] []",
		"// x\n1",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"\"\xed\xa0\x80\"",
		"\"\xe2\x82\"",
		"\"\xf4\x90\x80\x80\"",
		"\xef\xbb\xbf{}",
		"\"\xc3\"",
		"-01",
		"0000000000000000000000000000000000000001",
		"1.e400",
		"1e400e400",
		"1e400.5",
		"123456789012345678901234567890-",
		"1e+-400",
		"[1e400",
		"1e400 \"",
		"{}\"",
		"\"\\u\"",
		"\"\\u000\"",
		"\"\\ud80\"",
		"\"\\ud800",
		"\"\\ud800\\",
		"\"\\ud800\\u",
		"\"\\ud800\\udc0\"",
		"\"\\ud800\\x\"",
		"\"a\\",
		"\"\\U0000\"",
		"\\u0000",
		"[1\v]",
		"\f1",
		"Infinity",
		"-Infinity",
		"/**/1",
		"\"\xf8\x88\x80\x80\x80\"",
	};
	char deep[1100];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(JsonIsValid(good[i], strlen(good[i])), "JSON: number %zu is valid", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!JsonIsValid(bad[i], strlen(bad[i])), "JSON: number %zu is not valid", i);
	ok(!JsonIsValid("1\0", 2) && !JsonIsValid("\"a\0b\"", 5) && !JsonIsValid("[1\0,2]", 7) &&
		   !JsonIsValid("\0001", 2) && !JsonIsValid("{}\0", 3) && !JsonIsValid("\"\\\0\"", 4) &&
		   !JsonIsValid("1e\0004", 4),
	   "JSON: a zero byte is not valid");
	ok(!JsonIsValid("1e400", 2) && JsonIsValid("1e400", 4) && !JsonIsValid("\"\\ud800\"", 6),
	   "JSON: nothing behind the end is read");
	memset(deep, '[', 512);
	memset(deep + 512, ']', 512);
	ok(JsonIsValid(deep, 1024), "JSON: 512 levels are read");
	memset(deep, '[', 513);
	memset(deep + 513, ']', 513);
	ok(!JsonIsValid(deep, 1026), "JSON: more are refused");
}

/*
 * Change some bytes of a text; returns the new length, which is at most 20 more.
 */
static size_t
spoil(char *text, size_t len)
{
	static const char *const pieces[] = {"\\",   "\"",   "{",  "}",       "[",    "]",
										 ",",    ":",    "e",  "-",       ".",    "0",
										 "9",    "\\u",  "\v", "\\ud800", "\xc3", "\xed\xa0\x80",
										 "\xff", "\x01", "\n"};

	for (int changes = rand() % 4; changes >= 0; changes--)
	{
		const char *piece = pieces[(size_t) rand() % (sizeof(pieces) / sizeof(pieces[0]))];
		size_t size = rand() % 3 == 0 ? 0 : strlen(piece);
		size_t at = (size_t) rand() % (len + 1);
		size_t cut = (size_t) rand() % 3;

		cut = cut < len - at ? cut : len - at;
		memmove(text + at + size, text + at + cut, len - at - cut);
		memcpy(text + at, piece, size);
		len = len - cut + size;
	}
	return len;
}

/*
 * Nonsense that was JSON: nothing behind its end is read, which the sanitizers look
 * at, and what is found in it was in JSON.
 */
static void
test_json_nonsense(void)
{
	static const char *const texts[] = {
		"{\"error\": \"caf\\u00e9 \\ud83d\\ude00\"}",
		"{\"a\":[1,-2.5e+10,true,null,{\"error\":\"x\"}],\"error\":\"y\\n\"}",
		"[[[[]]],{},{\"secs\":1e400}]",
		"\"Muted\\u0000\"",
		"\"\\ud800\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
	};
	int valid = 0, wrong = 0;

	srand(1);
	for (int i = 0; i < 20000; i++)
	{
		const char *text = texts[i % 5];
		char spoiled[200];
		size_t len;
		Buffer error = {0}, tag = {0};
		char *exact;
		bool is_valid, has_error, is_only;

		memcpy(spoiled, text, strlen(text));
		len = spoil(spoiled, strlen(text));
		exact = malloc(len > 0 ? len : 1);
		memcpy(exact, spoiled, len);
		is_valid = JsonIsValid(exact, len);
		has_error = JsonGetString(exact, len, "error", &error);
		is_only = JsonIsOnlyString(exact, len, "error");
		valid += is_valid;
		wrong += (has_error && !is_valid) || (is_only && !has_error) ||
				 (JsonGetNumber(exact, len, "secs") != 0 && !is_valid) ||
				 (has_error && !IsUtf8(error.data, error.len));
		wrong += JsonReadTag(exact, len, &tag) != is_valid || !IsUtf8(BufferText(&tag), tag.len);
		free(exact);
		BufferFree(&error);
		BufferFree(&tag);
	}
	ok(valid > 1000 && valid < 19000, "JSON: of nonsense, %d texts are some", valid);
	ok(wrong == 0, "JSON: nothing is found in the others");
}

/*
 * Finding a string, writing one, cleaning text.
 */
static void
test_json_strings(void)
{
	static const char object[] =
		" { \"a\" : {\"error\": \"inner\"}, \"err\\u006fr\" : \"caf\\u00e9 "
		"\\ud83d\\ude00 \\ud800 \\n\" , \"z\": 1}";
	static const char dirty[] = "a\x01\xff\"\\\xc3\xa9";
	Buffer out = {0};

	ok(JsonGetString(object, strlen(object), "error", &out),
	   "a member is found by its unescaped key");
	is(BufferText(&out), "caf\xc3\xa9 \xf0\x9f\x98\x80 ? \n", "and its value is unescaped");
	BufferClear(&out);
	ok(!JsonGetString("{\"error\": 1}", 12, "error", &out) &&
		   !JsonGetString("[\"error\"]", 9, "error", &out) &&
		   !JsonGetString("{\"error\": \"x\"", 13, "error", &out) &&
		   !JsonGetString("{}", 2, "error", &out),
	   "no member is found where there is no such string");
	JsonAppendString(&out, dirty, strlen(dirty));
	is(BufferText(&out), "\"a ?\\\"\\\\\xc3\xa9\"", "a dirty text becomes a JSON string");
	ok(JsonIsValid(out.data, out.len), "which is valid");
	BufferClear(&out);
	AppendCleanText(&out, "ab\xc3\xa9", 4, 3);
	is(BufferText(&out), "ab", "a text is cut between characters");
	BufferClear(&out);
	JsonAppendExactString(&out, "\x01 \n\t\x1f\"\\/\177\xc3\xa9\xf0\x9f\x98\x80");
	is(BufferText(&out), "\"\\u0001 \\u000a\\u0009\\u001f\\\"\\\\/\177\xc3\xa9\xf0\x9f\x98\x80\"",
	   "an exact string keeps its control characters");
	ok(JsonIsValid(out.data, out.len), "and is valid");
	BufferClear(&out);
	JsonAppendExactString(&out, "");
	is(BufferText(&out), "\"\"", "an empty text is an empty string");
	BufferFree(&out);
}

/*
 * Tags, and objects with a single member.
 */
static void
test_json_members(void)
{
	static const char *const single[] = {"{\"error\":\"\"}", " { \"err\\u006fr\" : \"x\\\"y\" } "};
	static const char *const other[] = {"",
										"{}",
										"\"error\"",
										"{\"error\": 1}",
										"{\"error\": \"x\", \"more\": 1}",
										"{\"error\": \"x\", \"error\": \"y\"}",
										"{\"error\\u0000\": \"x\"}",
										"{\"more\": 1, \"error\": \"x\"}",
										"{\"error\": \"x\"} ,",
										"{\"error\": \"x\"",
										"[\"error\", \"x\"]"};
	Buffer tag = {0};

	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
		ok(JsonIsOnlyString(single[i], strlen(single[i]), "error"), "an error alone: number %zu is",
		   i);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		ok(!JsonIsOnlyString(other[i], strlen(other[i]), "error"),
		   "an error alone: number %zu is not", i);
	ok(JsonReadTag(" \"Muted\"", 8, &tag) && strcmp(BufferText(&tag), "Muted") == 0,
	   "a string is its own tag");
	BufferClear(&tag);
	ok(JsonReadTag("{\"Executed\": {}}", 16, &tag) && strcmp(BufferText(&tag), "Executed") == 0,
	   "an object's is its first key");
	ok(JsonReadTag("{\"a\": {\"b\": \"c\"}, \"d\": \"e\"}", 27, &tag) &&
		   strcmp(BufferText(&tag), "a") == 0,
	   "and no other");
	ok(JsonReadTag("{}", 2, &tag) && tag.len == 0 && JsonReadTag("7", 1, &tag) && tag.len == 0 &&
		   JsonReadTag("[\"a\", {\"b\": \"c\"}]", 17, &tag) && tag.len == 0,
	   "others have none");
	ok(!JsonReadTag("", 0, &tag) && !JsonReadTag("{\"a\": 1", 7, &tag) && tag.len == 0,
	   "nor has what is no JSON");
	BufferFree(&tag);
}

/*
 * What is UTF-8, and what is not.
 */
static void
test_utf8(void)
{
	static const char *const good[] = {
		"", "a\n\177", "\xc2\x80", "\xc3\xa9", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf", "\xef\xbf\xbe"};
	static const char *const bad[] = {"\x80",
									  "\xc3",
									  "\xc3(",
									  "\xc0\x80",
									  "\xc1\xbf",
									  "\xe0\x9f\xbf",
									  "\xed\xa0\x80",
									  "\xe2\x82",
									  "\xf0\x8f\xbf\xbf",
									  "\xf4\x90\x80\x80",
									  "\xf5\x80\x80\x80",
									  "\xff",
									  "ok\xe9"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(IsUtf8(good[i], strlen(good[i])), "UTF-8: number %zu is", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!IsUtf8(bad[i], strlen(bad[i])), "UTF-8: number %zu is not", i);
	ok(IsUtf8("a\0b", 3), "UTF-8: a zero byte is");
}

/*
 * Judge an answer and compare.
 */
static void
judged(const char *name, Answer answer, Judgement expected, const char *text)
{
	Buffer out = {0}, tag = {0};
	Judgement got;

	if (answer.body == NULL)
		answer.body = "";
	answer.len = strlen(answer.body);
	got = JudgeAnswer(&answer, &out, &tag);
	ok(got.fate == expected.fate && got.seen == expected.seen && got.health == expected.health &&
		   got.delay == expected.delay,
	   "%s: fate %d, seen %d, health %d, delay %lld", name, got.fate, got.seen, got.health,
	   (long long) got.delay);
	is(BufferText(&out), text, name);
	BufferFree(&out);
	BufferFree(&tag);
}

#define ACKED ((Judgement){FATE_ACK, true, GATEWAY_WORKS, 0})
#define LIMITED(delay) ((Judgement){FATE_ACK, true, GATEWAY_LIMITS, (delay)})
#define DOUBTED ((Judgement){FATE_DOUBT, true, GATEWAY_FAULTY, 0})
#define DEAD ((Judgement){FATE_DEAD, true, GATEWAY_WORKS, 0})
#define BUSY(delay) ((Judgement){FATE_LATER, true, GATEWAY_BUSY, (delay)})
#define UNSIGNED ((Judgement){FATE_RETRY, false, GATEWAY_DISTRUSTS, 0})
#define REFUSED ((Judgement){FATE_LATER, false, GATEWAY_REFUSES, SECOND})

/*
 * What the gateway has decided.
 */
static void
test_outcomes(void)
{
	judged("200", (Answer){.status = 200, .body = "{\"Executed\": {}}"}, ACKED,
		   "{\"Executed\": {}}");
	judged("200 with a string", (Answer){.status = 200, .body = "\"Deduplicated\""}, ACKED,
		   "\"Deduplicated\"");
	judged("200 that failed", (Answer){.status = 200, .body = "{\"Failed\": {\"code\": \"X\"}}"},
		   ACKED, "{\"Failed\": {\"code\": \"X\"}}");
	judged("200 with a number", (Answer){.status = 200, .body = "7"}, ACKED, "7");
	judged("200 with more than a double holds",
		   (Answer){.status = 200,
					.body = " {\"Executed\" :{\"body\":[1e400, 0.10, 123456789012345678901.50,"
							"\"\\u0000\\ud800\", 1, {\"a\":1,\"a\":2}]}}\n"},
		   ACKED,
		   " {\"Executed\" :{\"body\":[1e400, 0.10, 123456789012345678901.50,"
		   "\"\\u0000\\ud800\", 1, {\"a\":1,\"a\":2}]}}\n");
	judged("200, throttled",
		   (Answer){.status = 200,
					.body = "{\"Throttled\": {\"retry_after\": {\"nanos\": 0, \"secs\" : 60}}}"},
		   LIMITED(60 * SECOND),
		   "{\"Throttled\": {\"retry_after\": {\"nanos\": 0, \"secs\" : 60}}}");
	judged("200, throttled for ever",
		   (Answer){.status = 200, .body = "{\"Throttled\":{\"secs\":99999999999999999999}}"},
		   LIMITED(60 * MINUTE), "{\"Throttled\":{\"secs\":99999999999999999999}}");
	judged("200, throttled without a time", (Answer){.status = 200, .body = "\"Throttled\""},
		   LIMITED(SECOND), "\"Throttled\"");
	judged("200, over its quota", (Answer){.status = 200, .body = "{\"QuotaExceeded\": {}}"},
		   LIMITED(5 * SECOND), "{\"QuotaExceeded\": {}}");
	judged("409", (Answer){.status = 409, .body = "{\"error\": \"seen\"}"}, ACKED,
		   "{\"AlreadyDispatched\": {\"error\": \"seen\"}}");
	judged("409 without JSON", (Answer){.status = 409, .body = "seen"}, ACKED,
		   "{\"AlreadyDispatched\": null}");
}

/*
 * What the gateway refuses: nothing was executed.
 */
static void
test_refusals(void)
{
	judged("429", (Answer){.status = 429, .retry_after = 7 * SECOND}, BUSY(7 * SECOND),
		   "429: an empty answer");
	judged("429 without a delay", (Answer){.status = 429}, BUSY(SECOND), "429: an empty answer");
	judged("429 for a year", (Answer){.status = 429, .retry_after = 31536000 * SECOND},
		   BUSY(60 * MINUTE), "429: an empty answer");
	judged("500 with the gateway's own body",
		   (Answer){.status = 500, .is_json = true, .body = " {\"error\" : \"no \\\"lock\\\"\"}\n"},
		   (Judgement){FATE_RETRY, true, GATEWAY_FAULTY, 0}, "500: no \"lock\"");
	judged("400", (Answer){.status = 400, .body = "{\"error\": \"bad field\"}"}, DEAD,
		   "400: bad field");
	judged("400 without a signature",
		   (Answer){.status = 400, .body = "{\"error\": \"unsigned action rejected: x\"}"},
		   UNSIGNED, "400: unsigned action rejected: x");
	judged("400 with a wrong one",
		   (Answer){.status = 400,
					.body = "{\"error\": \"signature verification failed for signer 'x'\"}"},
		   UNSIGNED, "400: signature verification failed for signer 'x'");
	judged("400 with one of another tenant",
		   (Answer){.status = 400,
					.body =
						"{\"error\": \"signer 'x' is not authorized for tenant=t namespace=n\"}"},
		   UNSIGNED, "400: signer 'x' is not authorized for tenant=t namespace=n");
	judged("400 that only speaks of a signer",
		   (Answer){.status = 400, .body = "{\"error\": \"signer 'x' is no field\"}"}, DEAD,
		   "400: signer 'x' is no field");
	judged("422 with the words",
		   (Answer){.status = 422, .body = "{\"error\": \"unsigned action rejected: x\"}"}, DEAD,
		   "422: unsigned action rejected: x");
	judged("413", (Answer){.status = 413}, DEAD, "413: an empty answer");
	judged("415", (Answer){.status = 415, .body = "Expected"}, DEAD, "415: Expected");
	judged("422", (Answer){.status = 422, .body = "no \xff"}, DEAD, "422: no ?");
	judged("401", (Answer){.status = 401, .body = "{\"error\": \"bad key\"}"}, REFUSED,
		   "401: bad key");
	judged("404", (Answer){.status = 404}, REFUSED, "404: an empty answer");
	judged("405", (Answer){.status = 405}, REFUSED, "405: an empty answer");
	judged("403", (Answer){.status = 403}, (Judgement){FATE_RETRY, false, GATEWAY_FORBIDS, 0},
		   "403: an empty answer");
	judged("nothing was sent", (Answer){.failure = "refused", .sent = SENT_NOTHING},
		   (Judgement){FATE_LATER, false, GATEWAY_FAULTY, 0}, "refused");
	judged("a part was sent", (Answer){.failure = "reset", .sent = SENT_PART},
		   (Judgement){FATE_RETRY, false, GATEWAY_FAULTY, 0}, "reset");
}

/*
 * What proves nothing.
 */
static void
test_doubts(void)
{
	static const struct
	{
		const char *name;
		Answer answer;
		const char *text;
	} doubts[] = {
		{"200 without JSON",
		 {.status = 200, .body = "<html>"},
		 "200: the answer is not JSON: <html>"},
		{"200 without a body", {.status = 200}, "200: the answer is not JSON: an empty answer"},
		{"200 with half of it",
		 {.status = 200, .body = "{\"Executed\": "},
		 "200: the answer is not JSON: {\"Executed\": "},
		{"201", {.status = 201, .body = "{\"Executed\": {}}"}, "201: {\"Executed\": {}}"},
		{"202", {.status = 202, .body = "{}"}, "202: {}"},
		{"204", {.status = 204}, "204: an empty answer"},
		{"302", {.status = 302}, "302: an empty answer"},
		{"408", {.status = 408}, "408: an empty answer"},
		{"500 of a proxy", {.status = 500, .body = "oops\n"}, "500: oops "},
		{"500 of another type", {.status = 500, .body = "{\"error\": \"x\"}"}, "500: x"},
		{"500 with more than an error",
		 {.status = 500, .is_json = true, .body = "{\"error\": \"x\", \"code\": 1}"},
		 "500: x"},
		{"500 with another error",
		 {.status = 500, .is_json = true, .body = "{\"error\": {\"code\": 1}}"},
		 "500: {\"error\": {\"code\": 1}}"},
		{"500 cut short",
		 {.status = 500, .is_json = true, .body = "{\"error\": \"x\""},
		 "500: {\"error\": \"x\""},
		{"502",
		 {.status = 502, .is_json = true, .body = "{\"error\": \"bad gateway\"}"},
		 "502: bad gateway"},
		{"503", {.status = 503, .body = "{\"error\": \"down\"}"}, "503: down"},
		{"504", {.status = 504}, "504: an empty answer"},
		{"no answer",
		 {.failure = "reset", .sent = SENT_WHOLE, .status = 200, .body = "{}"},
		 "reset"},
		{"cut off at 429", {.failure = "cut", .status = 429, .retry_after = SECOND}, "cut"},
	};

	for (size_t i = 0; i < sizeof(doubts) / sizeof(doubts[0]); i++)
		judged(doubts[i].name, doubts[i].answer, DOUBTED, doubts[i].text);
	judged("503 with a delay", (Answer){.status = 503, .retry_after = 2 * SECOND},
		   (Judgement){FATE_DOUBT, true, GATEWAY_FAULTY, 2 * SECOND}, "503: an empty answer");
}

/*
 * How much of an error is kept.
 */
static void
test_error_length(void)
{
	char *long_body = Format("%02000d", 0);
	Buffer out = {0}, tag = {0};

	JudgeAnswer(&(Answer){.status = 400, .body = long_body, .len = strlen(long_body)}, &out, &tag);
	ok(out.len == 505, "a long body is cut at 500 bytes");
	BufferClear(&out);
	free(long_body);
	long_body = Format("{\"error\": \"%02000d\"}", 0);
	JudgeAnswer(&(Answer){.status = 400, .body = long_body, .len = strlen(long_body)}, &out, &tag);
	ok(out.len == MAX_ERROR, "a long error is cut at 1,000");
	free(long_body);
	BufferFree(&out);
}

/*
 * Write a file in the scratch directory; the caller frees its name.
 */
static char *
make_file(const char *name, const char *text)
{
	char *path = Format("%s/%s", scratch, name);
	FILE *file = fopen(path, "w");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		exit(2);
	chmod(path, 0600);
	return path;
}

/*
 * Read the keys of one file.
 */
static Keyring *
read_ring(const char *text, char **error)
{
	char *path = make_file("keys", text);
	TextList list = {1, &path};
	Keyring *ring = KeyringRead(&list, error);

	unlink(path);
	free(path);
	return ring;
}

#define HEX_KEY "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F"
#define BASE64_KEY "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM="
#define SEALED_K0 \
	"ENC[AES256-GCM,data:PCCidOff4jnsAfLz0IQIAeb45FudWXNcGgnHvz1YfQ==,iv:AAECAwQFBgcICQoL," \
	"tag:BS8ei8dvFrc69HbiHoOOXw==]"
#define SEALED_K1 \
	"ENC[AES256-GCM,kid:k1,data:5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==," \
	"iv:AAECAwQFBgcICQoL,tag:PgB5gNXCqYahkepdHOxURA==]"
#define OF_K1 \
	"data:5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==,iv:AAECAwQFBgcICQoL," \
	"tag:PgB5gNXCqYahkepdHOxURA==]"
#define UNKNOWN_KID "ENC[AES256-GCM,kid:other," OF_K1
#define NO_KID "ENC[AES256-GCM," OF_K1
#define WRONG_KID "ENC[AES256-GCM,kid:k0," OF_K1
#define WRONG_TAG \
	"ENC[AES256-GCM,kid:k1,data:xJpl,iv:AAECAwQFBgcICQoL,tag:raLY2izGWMsK64T92gYSdA==]"
#define NOT_JSON "ENC[AES256-GCM,kid:k1,data:xJo=,iv:AAECAwQFBgcICQoL,tag:KFXG27psP9AwmmlCg028Zw==]"
#define EMPTY "ENC[AES256-GCM,kid:k1,data:,iv:AAECAwQFBgcICQoL,tag:l9G7tStsjIWLD+p/L3LQkw==]"

/*
 * Open the payload of an action, and compare: the whole action, or the error.
 */
static void
opens(const Keyring *ring, const char *name, const char *payload, Unsealed expected,
	  const char *text)
{
	char *action =
		Format("{\"id\": \"x\", \"tenant\": \"\\\", \\\"payload\\\": \", \"payload\": %s, "
			   "\"metadata\": {\"payload\": \"ENC[x]\"}}",
			   payload);
	char *whole =
		Format("{\"id\": \"x\", \"tenant\": \"\\\", \\\"payload\\\": \", \"payload\": %s, "
			   "\"metadata\": {\"payload\": \"ENC[x]\"}}",
			   text);
	Buffer opened = {0}, error = {0};
	Unsealed got = OpenSealedPayload(ring, action, strlen(action), &opened, &error);

	ok(got == expected, "%s: %d", name, got);
	is(got == OPENED ? BufferText(&opened) : BufferText(&error), expected == OPENED ? whole : text,
	   name);
	BufferFree(&opened);
	BufferFree(&error);
	free(action);
	free(whole);
}

/*
 * Sealed payloads; the vectors were made with another implementation.
 */
static void
test_sealed(void)
{
	static const char damaged[] =
		"payload is sealed with key \"k1\", and cannot be opened with it: it "
		"was damaged, or the key is another one of this name";
	static const char no_json[] =
		"payload is sealed with key \"k1\", and what is inside is not JSON";
	static const char malformed[] = "payload is sealed, but not as ENC[AES256-GCM,...]";
	static const char plain[] = "{\"to\": \"a@example.com\", \"n\": 1}";
	/* OpenSSL by itself reads most of these as the data that the tag belongs to. */
	static const char *const no_base64[] = {
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdP",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA=",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPB==",
		" 5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==",
		"    5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==    ",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==\r\n\r\n",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==----",
		"5IlMI5934cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA======",
		"5IlMI593\n4cv8U/uw9/f43ow5Xv9AIfwF5XzLMXPdPA==",
		"5IlMI5934cv8U_uw9_f43ow5Xv9AIfwF5XzLMXPdPA==",
	};
	char *error = NULL;
	Keyring *ring = read_ring("# keys\n\n  " HEX_KEY " \r\nk1:" BASE64_KEY, &error);

	ok(ring != NULL && KeyringCount(ring) == 2, "a file with two keys is read");
	opens(ring, "no kid, hex key", "\"" SEALED_K0 "\"", OPENED, plain);
	opens(ring, "kid, base64 key", "\"" SEALED_K1 "\"", OPENED, plain);
	opens(ring, "wrong tag", "\"" WRONG_TAG "\"", CANNOT_OPEN, damaged);
	opens(ring, "plaintext is not JSON", "\"" NOT_JSON "\"", CANNOT_OPEN, no_json);
	opens(ring, "plaintext is empty", "\"" EMPTY "\"", CANNOT_OPEN, no_json);
	opens(ring, "unknown kid", "\"ENC[AES256-GCM,kid:k7,data:xJo=,iv:AA==,tag:AA==]\"", CANNOT_OPEN,
		  "payload is sealed with key \"k7\", which this relay does not have, and none of its "
		  "other keys opens it");
	opens(ring, "unknown kid, known key", "\"" UNKNOWN_KID "\"", OPENED, plain);
	opens(ring, "no kid, but not the key k0", "\"" NO_KID "\"", OPENED, plain);
	opens(ring, "no kid, no key", "\"ENC[AES256-GCM,data:xJo=,iv:AA==,tag:AA==]\"", CANNOT_OPEN,
		  "payload is sealed without the name of a key, and none of this relay's keys opens it");
	opens(ring, "a known kid means that key alone", "\"" WRONG_KID "\"", CANNOT_OPEN,
		  "payload is sealed with key \"k0\", and cannot be opened with it: it was damaged, or the "
		  "key is another one of this name");
	opens(ring, "iv too short",
		  "\"ENC[AES256-GCM,kid:k1,data:xJo=,iv:AA==,tag:KFXG27psP9AwmmlCg028Zw==]\"", CANNOT_OPEN,
		  damaged);
	opens(ring, "no base64",
		  "\"ENC[AES256-GCM,kid:k1,data:x!o=,iv:AAECAwQFBgcICQoL,"
		  "tag:KFXG27psP9AwmmlCg028Zw==]\"",
		  CANNOT_OPEN, damaged);
	for (size_t i = 0; i < sizeof(no_base64) / sizeof(no_base64[0]); i++)
	{
		char *payload = Format("\"ENC[AES256-GCM,kid:k1,data:%s,iv:AAECAwQFBgcICQoL,"
							   "tag:PgB5gNXCqYahkepdHOxURA==]\"",
							   no_base64[i]);

		opens(ring, "base64 that is not as it must be", payload, CANNOT_OPEN, damaged);
		free(payload);
	}
	opens(ring, "no tag", "\"ENC[AES256-GCM,kid:k1,data:xJo=,iv:AAECAwQFBgcICQoL]\"", CANNOT_OPEN,
		  malformed);
	opens(ring, "nothing but the start", "\"ENC[AES256-GCM,\"", CANNOT_OPEN, malformed);
	opens(ring, "another cipher is not sealed", "\"ENC[ROT13,data:x]\"", NOT_SEALED, "");
	opens(ring, "nor is half of the start", "\"ENC[AES256-GCM\"", NOT_SEALED, "");
	opens(ring, "an escape in it", "\"ENC[AES256-GCM,kid:\\\"k1,data:x\"", CANNOT_OPEN, malformed);
	opens(ring, "an object is not sealed", "{\"a\": 1, \"payload\": \"" SEALED_K0 "\"}", NOT_SEALED,
		  "");
	opens(ring, "another string is not sealed", "\"ENCODED\"", NOT_SEALED, "");
	opens(NULL, "without keys", "\"" SEALED_K0 "\"", CANNOT_OPEN,
		  "payload is sealed without the name of a key, and this relay has no keys");
	KeyringFree(ring);

	ok(read_ring("k1:abc\n", &error) == NULL && strstr(error, "line 1") != NULL &&
		   strstr(error, "abc") == NULL,
	   "a line that is no key is refused, and not shown");
	free(error);
	ok(read_ring(HEX_KEY "\nk0:" BASE64_KEY "\n", &error) == NULL &&
		   strstr(error, "line 2") != NULL,
	   "an id that comes twice is refused");
	free(error);
	ok(read_ring("", &error) == NULL && strstr(error, "holds no key") != NULL,
	   "an empty file is refused");
	free(error);
	ok(read_ring("# k1:" HEX_KEY "\n\n \n", &error) == NULL &&
		   strstr(error, "holds no key") != NULL,
	   "so is one with comments only");
	free(error);
	ok(KeyringRead(&(TextList){1, (char *[]){"/nonexistent"}}, &error) == NULL,
	   "a missing file is an error");
	free(error);
}

/*
 * Make a pipe as a shell's <(...) does, whose writer takes its time; returns the
 * writer, and the pipe's name, which the caller frees.
 */
static pid_t
make_slow_pipe(char **path)
{
	int pipes[2];
	pid_t child;

	if (pipe(pipes) != 0)
		exit(2);
	child = fork();
	if (child == 0)
	{
		close(pipes[0]);
		usleep(100000);
		_exit(write(pipes[1], "s3cret\n", 7) == 7 ? 0 : 1);
	}
	close(pipes[1]);
	*path = Format("/dev/fd/%d", pipes[0]);
	return child;
}

/*
 * Keys that come through a pipe.
 */
static void
test_secret_pipes(void)
{
	char *path = Format("%s/pipe", scratch);
	char *error = NULL;
	Buffer key;
	pid_t child;

	if (mkfifo(path, 0600) != 0 || fflush(stdout) != 0)
		exit(2);
	ok(!SecretReadApiKey(path, &key, &error) && strstr(error, "empty") != NULL,
	   "a pipe that nobody writes into is not waited for");
	free(error);
	unlink(path);
	free(path);
	child = make_slow_pipe(&path);
	error = NULL;
	ok(SecretReadApiKey(path, &key, &error) && strcmp(key.data, "s3cret") == 0,
	   "one whose writer is slow is");
	free(error);
	BufferWipe(&key);
	free(path);
	waitpid(child, NULL, 0);
}

/*
 * Key files.
 */
static void
test_secrets(void)
{
	Buffer key;
	char *error = NULL;
	char *path = make_file("key", "s3cret-Key~\n");

	ok(SecretReadApiKey(path, &key, &error) && strcmp(key.data, "s3cret-Key~") == 0,
	   "an API key is read");
	BufferWipe(&key);
	ok(!SecretIsExposed(path), "nobody else can read its file");
	chmod(path, 0640);
	ok(SecretIsExposed(path), "the group can now");
	unlink(path);
	free(path);
	path = make_file("key", "two\nlines\n");
	ok(!SecretReadApiKey(path, &key, &error) && strstr(error, "two") == NULL,
	   "two lines are refused, and not shown");
	free(error);
	unlink(path);
	free(path);
	path = make_file("key", "\n");
	ok(!SecretReadApiKey(path, &key, &error), "an empty file is refused");
	free(error);
	unlink(path);
	free(path);
	test_secret_pipes();
}

/*
 * Write metrics to a path in the scratch directory, twice, with the log going
 * to a file; returns what was logged, which the caller frees.
 */
static char *
try_metrics(const char *path, const Gauges *gauges)
{
	char *log = make_file("log", "");
	int saved = dup(STDERR_FILENO), fd = open(log, O_RDWR);
	char said[1000];
	ssize_t len;

	dup2(fd, STDERR_FILENO);
	MetricsWrite(path, gauges);
	MetricsWrite(path, gauges);
	dup2(saved, STDERR_FILENO);
	len = pread(fd, said, sizeof(said) - 1, 0);
	said[len > 0 ? len : 0] = '\0';
	close(saved);
	close(fd);
	unlink(log);
	free(log);
	return DuplicateText(said);
}

/*
 * Read a file, which the caller frees.
 */
static char *
read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char text[20000];
	size_t len;

	if (file == NULL)
		exit(2);
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	fclose(file);
	return DuplicateText(text);
}

/*
 * How many actions are claimed at once, by their size.
 */
static void
test_claims(void)
{
	ok(ClaimAtOnce(500, 0) == 500, "of actions whose size is not known, as many as may be");
	ok(ClaimAtOnce(500, 1000) == 500, "of small ones as well");
	ok(ClaimAtOnce(500, 1024 * 1024) == 16, "of large ones, 16 MiB");
	ok(ClaimAtOnce(8, 1024 * 1024) == 8, "… but not more than in time");
	ok(ClaimAtOnce(500, 64 * 1024 * 1024) == 1, "of what is still larger, one");
}

/*
 * The figures of batches in the metrics file.
 */
static void
test_metrics_batches(void)
{
	static const BatchFigures batches[] = {{7, {1, 2, 3, 4, 5, 6}, true},
										   {INT64_MAX, {INT64_MAX}, false}};
	char *path = Format("%s/batches", scratch);
	char *text;

	free(try_metrics(path, &(Gauges){.batches = batches}));
	text = read_file(path);
	ok(strstr(text, "acteon_replay_batch") == NULL, "without batches there are no figures of any");
	free(text);
	free(try_metrics(path, &(Gauges){.running = true, .batches = batches, .batch_count = 2}));
	text = read_file(path);
	is(strstr(text, "# HELP acteon_replay_batch_actions"),
	   "# HELP acteon_replay_batch_actions Actions of a batch that is not finished, by state.\n"
	   "# TYPE acteon_replay_batch_actions gauge\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"waiting\"} 1\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"running\"} 2\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"delivered\"} 3\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"dead\"} 4\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"cancelled\"} 5\n"
	   "acteon_replay_batch_actions{batch=\"7\",state=\"expired\"} 6\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"waiting\"} "
	   "9223372036854775807\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"running\"} 0\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"delivered\"} 0\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"dead\"} 0\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"cancelled\"} 0\n"
	   "acteon_replay_batch_actions{batch=\"9223372036854775807\",state=\"expired\"} 0\n"
	   "# HELP acteon_replay_batch_paused Whether a batch is paused.\n"
	   "# TYPE acteon_replay_batch_paused gauge\n"
	   "acteon_replay_batch_paused{batch=\"7\"} 1\n"
	   "acteon_replay_batch_paused{batch=\"9223372036854775807\"} 0\n",
	   "with some, they come last");
	free(text);
	unlink(path);
	free(path);
}

/*
 * The metrics file, and what stands in its way.
 */
static void
test_metrics_file(void)
{
	char *path = Format("%s/metrics", scratch);
	char *temporary = Format("%s.%d.tmp", path, (int) getpid());
	struct stat status;
	char *said;

	ok(symlink("/nonexistent/file", temporary) == 0, "a link is in the way");
	said = try_metrics(path, &(Gauges){0});
	is(said, "", "it does not matter");
	free(said);
	ok(lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 1000 &&
		   access(temporary, F_OK) != 0,
	   "metrics are written, and nothing else is left");
	ok(mkfifo(temporary, 0600) == 0, "a FIFO is in the way");
	said = try_metrics(path, &(Gauges){0});
	is(said, "", "it does not matter");
	free(said);
	unlink(path);
	ok(mkfifo(path, 0600) == 0, "the target is a FIFO");
	said = try_metrics(path, &(Gauges){0});
	ok(strstr(said, "not a regular file") != NULL && strchr(said, '\n') == strrchr(said, '\n'),
	   "it is refused, once");
	free(said);
	ok(lstat(path, &status) == 0 && S_ISFIFO(status.st_mode) && access(temporary, F_OK) != 0,
	   "and stays");
	unlink(path);
	free(temporary);
	free(path);
}

/*
 * A reader of the log that stalls.
 */
static void
test_stalled_log(void)
{
	int pipes[2], saved = dup(STDERR_FILENO);
	char *text = Allocate(70000);
	ssize_t len;

	if (pipe(pipes) != 0 || fcntl(pipes[1], F_SETPIPE_SZ, 16384) < 0)
		exit(2);
	memset(text, 'x', 10000);
	text[10000] = '\0';
	dup2(pipes[1], STDERR_FILENO);
	for (int i = 0; i < 10; i++)
		Log(LOG_INFO, "stalled", LogText("text", text));
	len = read(pipes[0], text, 65536);
	Log(LOG_INFO, "goes on");
	text[len] = '\0';
	ok(strchr(text, '\n') != NULL && strchr(text, '\n') == strrchr(text, '\n'),
	   "a stalled reader gets what fits, and stops nobody");
	len = read(pipes[0], text, 65536);
	dup2(saved, STDERR_FILENO);
	text[len > 0 ? len : 0] = '\0';
	ok(*text == '\n' && strstr(text, "event=\"lines of the log were lost\" lines=9\n") != NULL &&
		   strstr(text, "event=\"goes on\"\n") != NULL,
	   "later it learns how much it has missed");
	close(pipes[0]);
	close(pipes[1]);
	close(saved);
	free(text);
}

/*
 * Times.
 */
static void
test_clock(void)
{
	static const char *const bad[] = {"",    "s",   "-1s", "1h",   "1 s",
									  "1sx", "nan", "inf", "1e30", " 1"};
	Backoff backoff = {SECOND, 4 * SECOND, 0};
	int64_t time = 0;
	bool within = true;

	ok(ParseDuration("500ms", &time) && time == SECOND / 2, "500ms");
	ok(ParseDuration("1.5s", &time) && time == 3 * SECOND / 2, "1.5s");
	ok(ParseDuration("2m", &time) && time == 2 * MINUTE, "2m");
	ok(ParseDuration("3", &time) && time == 3 * SECOND, "3 are seconds");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(!ParseDuration(bad[i], &time), "\"%s\" is no duration", bad[i]);
	for (int i = 0; i < 10000; i++)
	{
		int64_t delay = Jittered(1000);

		within = within && delay >= 750 && delay <= 1250;
	}
	ok(within, "jitter stays within a quarter");
	for (int i = 0; i < 5; i++)
		time = BackoffNext(&backoff);
	ok(time >= 3 * SECOND && time <= 5 * SECOND, "delays grow up to a bound");
	BackoffReset(&backoff);
	time = BackoffNext(&backoff);
	ok(time <= 5 * SECOND / 4, "and begin anew");
}

/*
 * Send something, of a tenant, and give the throttle an answer to it.
 */
static ThrottleChange
tell(Throttle *throttle, Health health, int64_t delay, uint64_t tenant, int64_t now)
{
	Judgement judgement = {FATE_RETRY, true, health, delay};

	ThrottleSent(throttle, now);
	return ThrottleAnswered(throttle, &judgement,
							&(ThrottleSubject){.tenant = tenant, .duration = MILLISECOND}, now);
}

/*
 * The same for one whose judgement the throttle may change.
 */
static ThrottleChange
tell_judgement(Throttle *throttle, Judgement *judgement, int64_t now)
{
	ThrottleSent(throttle, now);
	return ThrottleAnswered(throttle, judgement, &(ThrottleSubject){0}, now);
}

/*
 * Tenants that have had enough.
 */
static void
test_throttle_tenants(void)
{
	Throttle throttle;
	int64_t wake = NEVER;
	int64_t now = 1000 * SECOND;

	ThrottleStart(&throttle, 32, 1, 0, now);
	for (int i = 0; i < 10; i++)
		ThrottleSent(&throttle, now);
	ok(ThrottleMaySend(&throttle, 9, now, &wake) && !ThrottleMaySend(&throttle, 10, now, &wake),
	   "it begins with ten requests at once");
	tell(&throttle, GATEWAY_BUSY, 2 * SECOND, 1, now);
	tell(&throttle, GATEWAY_BUSY, SECOND, 1, now);
	ok(ThrottleRest(&throttle, 1, now + SECOND) == SECOND && ThrottleRest(&throttle, 2, now) == 0 &&
		   ThrottleMaySend(&throttle, 0, now, &wake),
	   "a tenant that was refused rests as long as it was told, and others do not");
	ok(ThrottleMaySend(&throttle, 4, now, &wake) && !ThrottleMaySend(&throttle, 5, now, &wake),
	   "half as many go out, halved once for all answers of a round");
	ok(ThrottleRest(&throttle, 1, now + 2 * SECOND) == 0, "until it has rested");
	tell(&throttle, GATEWAY_BUSY, 3 * SECOND, 2, now);
	ok(!ThrottleMaySend(&throttle, 0, now + SECOND, &wake) && wake == now + 3 * SECOND,
	   "when another one is refused meanwhile, nothing is sent");
	ok(ThrottleRoom(&throttle, 100, 30 * SECOND, now + SECOND) == 0, "and nothing is claimed");

	ThrottleStart(&throttle, 32, 1, 0, now);
	tell(&throttle, GATEWAY_LIMITS, 10 * SECOND, 1, now);
	tell(&throttle, GATEWAY_LIMITS, 20 * SECOND, 2, now);
	ok(ThrottleRest(&throttle, 1, now) == 10 * SECOND &&
		   ThrottleRest(&throttle, 2, now) == 20 * SECOND &&
		   ThrottleMaySend(&throttle, 9, now, &wake),
	   "what an outcome says is its tenant's alone, and slows nobody else");
	tell(&throttle, GATEWAY_LIMITS, 3600 * SECOND, 3, now);
	ok(ThrottleRest(&throttle, 3, now) == MINUTE, "nobody rests for more than a minute");
	for (uint64_t tenant = 100; tenant < 1100; tenant++)
		tell(&throttle, GATEWAY_LIMITS, SECOND, tenant, now);
	ok(ThrottleRest(&throttle, 3, now) == MINUTE && ThrottleRest(&throttle, 1099, now) == SECOND,
	   "of many tenants, those that rest longest are remembered");
	for (int i = 0; i < 500; i++)
		ThrottlePutOff(&throttle, now);
	wake = NEVER;
	ok(ThrottleIsPuttingOff(&throttle, now, &wake) && wake == now + SECOND &&
		   ThrottleRoom(&throttle, 100, 30 * SECOND, now) == 0 &&
		   ThrottleRoom(&throttle, 100, 30 * SECOND, now + SECOND) > 0,
	   "not too many are claimed and given back in a second");
}

/*
 * A gateway that fails or refuses.
 */
static void
test_throttle_outages(void)
{
	Throttle throttle;
	Judgement refusal = {FATE_LATER, false, GATEWAY_REFUSES, SECOND};
	int64_t wake = NEVER;
	int64_t now = 1000 * SECOND;

	ThrottleStart(&throttle, 32, 1, 0, now);
	for (int i = 0; i < 15; i++)
		tell(&throttle, GATEWAY_FAULTY, 0, 0, now);
	ok(throttle.state == THROTTLE_OPEN, "15 faults of 32 do not stop it");
	tell(&throttle, GATEWAY_WORKS, 0, 0, now);
	for (int i = 0; i < 15; i++)
		tell(&throttle, GATEWAY_FAULTY, 0, 0, now);
	ok(throttle.state == THROTTLE_OPEN, "nor do 15 more after a success");
	ok(tell(&throttle, GATEWAY_FAULTY, 0, 0, now) == THROTTLE_STOPPED &&
		   throttle.state == THROTTLE_DOWN,
	   "16 in a row do");
	ok(tell(&throttle, GATEWAY_WORKS, 0, 0, now) == THROTTLE_UNCHANGED &&
		   !ThrottleMaySend(&throttle, 0, now, &wake),
	   "what was in flight changes nothing any more");
	now = throttle.resume;
	ok(ThrottleRoom(&throttle, 100, 30 * SECOND, now) == 1 &&
		   ThrottleMaySend(&throttle, 0, now, &wake) && !ThrottleMaySend(&throttle, 1, now, &wake),
	   "then one is tried");
	ok(tell(&throttle, GATEWAY_FAULTY, 0, 0, now) == THROTTLE_UNCHANGED &&
		   throttle.resume >= now + 3 * SECOND / 2,
	   "if it fails, the next try is later");
	now = throttle.resume;
	ok(tell(&throttle, GATEWAY_WORKS, 0, 0, now) == THROTTLE_RESUMED &&
		   ThrottleConcurrency(&throttle) == 1,
	   "if not, it goes on carefully");
	tell(&throttle, GATEWAY_FAULTY, 7 * SECOND, 0, now);
	ok(throttle.state == THROTTLE_OPEN && !ThrottleMaySend(&throttle, 0, now + 6 * SECOND, &wake) &&
		   ThrottleMaySend(&throttle, 0, now + 7 * SECOND, &wake),
	   "a fault that says when it is over is believed");

	ThrottleStart(&throttle, 32, 1, 0, now);
	ok(tell_judgement(&throttle, &refusal, now) == THROTTLE_STOPPED &&
		   throttle.state == THROTTLE_REFUSED && throttle.resume - now >= 15 * SECOND / 4 &&
		   throttle.resume - now <= 25 * SECOND / 4 && refusal.delay == SECOND,
	   "a refusal stops it for five seconds");
	now = throttle.resume;
	ok(tell_judgement(&throttle, &refusal, now) == THROTTLE_UNCHANGED &&
		   refusal.delay > throttle.resume - now,
	   "an action whose try was refused lets others be tried next");
	ThrottleTryNow(&throttle, now);
	ok(ThrottleMaySend(&throttle, 0, now, &wake), "a new key is tried at once");
	ok(ThrottleShown(&throttle, now) == THROTTLE_REFUSED &&
		   ThrottleShown(&throttle, now + MINUTE) == THROTTLE_OPEN,
	   "a refusal that nothing was tried after is not shown for ever");
	now += MINUTE;
	tell_judgement(&throttle, &refusal, now);
	ok(ThrottleShown(&throttle, throttle.resume + MINUTE - 1) == THROTTLE_REFUSED,
	   "one that was tried again is");
}

/*
 * What has a queue of its own gets as much as it may at once, after an outage as well.
 */
static void
test_throttle_fixed(void)
{
	Throttle throttle;
	int64_t now = SECOND;
	int64_t wake = NEVER;
	int sent = 0;

	ThrottleStart(&throttle, 200, 1, 0, now);
	ThrottleFix(&throttle, 200);
	for (; ThrottleMaySend(&throttle, sent, now, &wake); sent++)
		ThrottleSent(&throttle, now);
	ok(sent == 200 && wake == NEVER, "a fixed number is sent at once: %d", sent);
	ok(ThrottleRoom(&throttle, 100, 30 * SECOND, now) == 300, "… with a batch behind it: %d",
	   ThrottleRoom(&throttle, 100, 30 * SECOND, now));
	for (; sent > 0; sent--)
		tell(&throttle, GATEWAY_FAULTY, 0, 0, now);
	ok(throttle.state == THROTTLE_DOWN && ThrottleConcurrency(&throttle) == 1,
	   "after faults one is tried");
	now = throttle.resume;
	ok(tell(&throttle, GATEWAY_WORKS, 0, 0, now) == THROTTLE_RESUMED &&
		   ThrottleConcurrency(&throttle) == 200,
	   "after an outage the same number again");
}

/*
 * A key that covers some actions, or none.  A rate.
 */
static void
test_throttle(void)
{
	Throttle throttle;
	const Judgement forbidden = {FATE_RETRY, false, GATEWAY_FORBIDS, 0};
	Judgement judgement;
	int64_t wake = NEVER;
	int64_t now = 1000 * SECOND;
	int sent = 0;

	ThrottleStart(&throttle, 32, 1, 0, now);
	judgement = forbidden;
	ok(tell_judgement(&throttle, &judgement, now) == THROTTLE_STOPPED &&
		   judgement.fate == FATE_LATER,
	   "an action that is forbidden before any success stops it, and is not counted");
	judgement = forbidden;
	ok(tell_judgement(&throttle, &judgement, now) == THROTTLE_UNCHANGED &&
		   judgement.fate == FATE_LATER,
	   "nor are those that were in flight");
	now = throttle.resume;
	tell(&throttle, GATEWAY_WORKS, 0, 0, now);
	for (int i = 0; i < 4; i++)
	{
		judgement = forbidden;
		ok(tell_judgement(&throttle, &judgement, now) == THROTTLE_UNCHANGED &&
			   judgement.fate == FATE_RETRY,
		   "after a success it is the action's fault");
	}
	judgement = forbidden;
	ok(tell_judgement(&throttle, &judgement, now) == THROTTLE_STOPPED &&
		   judgement.fate == FATE_LATER && throttle.resume <= now + 5 * SECOND / 4,
	   "unless it goes on like that; then there is a try a second");
	ThrottleStart(&throttle, 32, 1, 50, now);
	for (int i = 0; i < 1000; i++, now += SECOND / 100)
	{
		for (; ThrottleMaySend(&throttle, 0, now, &wake); sent++)
			ThrottleSent(&throttle, now);
	}
	ok(sent >= 495 && sent <= 505, "a rate of 50 sends %d in ten seconds", sent);
	ok(ThrottleRoom(&throttle, 1000, 3 * SECOND, now) <= 51,
	   "and no more is claimed than goes out within the lease");
	ThrottleStart(&throttle, 32, 1, 1e-300, now);
	ThrottleSent(&throttle, now);
	wake = NEVER;
	ok(!ThrottleMaySend(&throttle, 0, now, &wake) && wake > now && wake <= now + 2 * MINUTE,
	   "at a very low rate the relay waits, and does not ask without end");
	ok(ThrottleHash(0, "a", 1) != ThrottleHash(0, "b", 1) &&
		   ThrottleHash(0, "a", 1) != ThrottleHash(1, "a", 1),
	   "tenants are told apart");
}

/*
 * Signatures of tenants' actions that are refused: a tenant after the other rests, and only
 * when nothing at all is accepted meanwhile, nothing is sent.
 */
static void
test_distrusted(void)
{
	Throttle throttle;
	const int64_t now = 1000 * SECOND;
	int retried = 0;

	ThrottleStart(&throttle, 32, 1, 0, now);
	tell(&throttle, GATEWAY_WORKS, 0, 0, now);
	for (int i = 0; i < 15; i++)
	{
		Judgement judgement = {FATE_RETRY, false, GATEWAY_DISTRUSTS, 0};
		const ThrottleSubject subject = {.tenant = 100 + (uint64_t) i / 5};
		ThrottleChange change = ThrottleAnswered(&throttle, &judgement, &subject, now);

		retried += judgement.fate == FATE_RETRY;
		ok((change == THROTTLE_STOPPED) == (i == 14), "refused signature %d: %s", i + 1,
		   i == 14 ? "it stops" : "it goes on");
		ok((ThrottleRest(&throttle, subject.tenant, now) > 0) == (i % 5 == 4 && i < 14),
		   "refused signature %d: whether its tenant rests", i + 1);
	}
	ok(retried == 12, "attempts that count: %d", retried);
	ok(ThrottleRest(&throttle, 100, now) > 0 && ThrottleRest(&throttle, 99, now) == 0,
	   "no other tenant rests");

	ThrottleStart(&throttle, 32, 1, 0, now);
	tell(&throttle, GATEWAY_WORKS, 0, 0, now);
	for (int i = 0; i < 100; i++)
	{
		Judgement judgement = {FATE_RETRY, false, GATEWAY_DISTRUSTS, 0};
		const ThrottleSubject subject = {.tenant = 100};

		(void) ThrottleAnswered(&throttle, &judgement, &subject, now);
		if (i % 5 == 4)
			tell(&throttle, GATEWAY_WORKS, 0, 0, now);
	}
	ok(throttle.state == THROTTLE_OPEN, "one tenant's key does not stop the others");
}

/* The gateway of the tests below: ten slots, 30 live dispatches a second of 50 ms. */
#define TEN_SLOTS \
	{ \
		.slots = 10, .live_rate = 30, .live_time = 50 * MILLISECOND, \
		.times = {50 * MILLISECOND, 4 * SECOND}, .noise = 0.02 \
	}

/*
 * Live traffic comes first, and what is left is used.
 */
static void
test_limit(void)
{
	World world = TEN_SLOTS;
	Outcome outcome;

	WorldStart(&world, 32, 1);
	outcome = WorldRun(&world, 2 * SECOND);
	ok(outcome.highest == 10, "it begins with ten requests at once, and no more");
	outcome = WorldRun(&world, MINUTE);
	ok(outcome.live_p99 <= 1.05 * 51 && outcome.live_median <= 1.01 * 52 && outcome.replays >= 136,
	   "beside 30 live dispatches a second: %.0f replays a second, live %.1f and %.1f ms",
	   outcome.replays, outcome.live_median, outcome.live_p99);
	world.live_rate = 0;
	WorldRun(&world, 5 * SECOND);
	outcome = WorldRun(&world, 10 * SECOND);
	ok(outcome.replays >= 160, "without them, five seconds later: %.0f replays", outcome.replays);
	world.live_rate = 100;
	WorldRun(&world, 5 * SECOND);
	outcome = WorldRun(&world, 10 * SECOND);
	ok(outcome.replays >= 76 && outcome.live_median <= 53,
	   "with 100, five seconds later: %.0f replays, live %.1f ms", outcome.replays,
	   outcome.live_median);
	world.live_rate = 30;
	WorldRun(&world, 5 * SECOND);
	outcome = WorldRun(&world, 10 * SECOND);
	ok(outcome.replays >= 136 && outcome.live_median <= 53,
	   "with 30 again: %.0f replays, live %.1f ms", outcome.replays, outcome.live_median);
	world.live_rate = 400;
	WorldRun(&world, 2 * SECOND);
	world.live_rate = 30;
	WorldRun(&world, 10 * SECOND);
	outcome = WorldRun(&world, 10 * SECOND);
	ok(outcome.replays >= 136, "ten seconds after an overload: %.0f replays", outcome.replays);
	world.times[0] = 80 * MILLISECOND;
	WorldRun(&world, 10 * SECOND);
	outcome = WorldRun(&world, 20 * SECOND);
	ok(outcome.replays >= 0.8 * 8.5 / 0.08, "a provider that has become slower: %.0f replays",
	   outcome.replays);
	WorldEnd(&world);
}

/*
 * However answers and live dispatches fall together, a hundredth of live traffic at
 * most waits for us.
 */
static void
test_limit_live(void)
{
	int slowed = 0;
	double most = 0;

	for (uint64_t seed = 1; seed <= 40; seed++)
	{
		World world = TEN_SLOTS;
		Outcome outcome;

		WorldStart(&world, 32, 1);
		world.chance = seed * 7919;
		WorldRun(&world, 2 * SECOND);
		outcome = WorldRun(&world, 30 * SECOND);
		slowed += outcome.live_p99 > 1.1 * 52 ? 1 : 0;
		most = outcome.live_p99 > most ? outcome.live_p99 : most;
		WorldEnd(&world);
	}
	ok(slowed == 0, "of forty runs none has a 99th percentile above 1.1: %.1f ms", most);
}

/*
 * Other gateways and other actions.
 */
static void
test_limit_elsewhere(void)
{
	World world = TEN_SLOTS;
	World narrow = TEN_SLOTS;
	World wide = TEN_SLOTS;
	World half = TEN_SLOTS;
	Outcome outcome;

	world.second_share = 0.02;
	WorldStart(&world, 32, 1);
	WorldRun(&world, 10 * SECOND);
	outcome = WorldRun(&world, MINUTE);
	ok(outcome.live_median <= 53 && outcome.replays >= 0.7 * 8.5 / 0.129,
	   "with a provider of 4 s beside one of 50 ms: %.0f replays, live %.1f ms", outcome.replays,
	   outcome.live_median);
	WorldEnd(&world);

	wide.slots = 100;
	WorldStart(&wide, 200, 1);
	WorldRun(&wide, 30 * SECOND);
	outcome = WorldRun(&wide, 20 * SECOND);
	ok(outcome.replays >= 0.8 * 98.5 / 0.05 && outcome.live_median <= 55,
	   "with a hundred slots: %.0f replays, live %.1f ms", outcome.replays, outcome.live_median);
	WorldEnd(&wide);

	narrow.refuses = 8;
	narrow.live_rate = 0;
	WorldStart(&narrow, 32, 1);
	WorldRun(&narrow, 10 * SECOND);
	outcome = WorldRun(&narrow, MINUTE);
	ok(outcome.refused <= 5 && outcome.replays >= 0.7 * 7 / 0.05,
	   "with a limit of eight at once: %.0f replays, %d refused", outcome.replays, outcome.refused);
	WorldEnd(&narrow);

	half.live_rate = 0;
	WorldStart(&half, 32, 0.5);
	WorldRun(&half, 10 * SECOND);
	outcome = WorldRun(&half, 20 * SECOND);
	ok(outcome.replays >= 90 && outcome.replays <= 115, "with a share of a half: %.0f replays",
	   outcome.replays);
	WorldEnd(&half);

	half = (World) TEN_SLOTS;
	WorldStart(&half, 4, 1);
	outcome = WorldRun(&half, 10 * SECOND);
	ok(outcome.highest == 4, "the bound is never exceeded");
	WorldEnd(&half);
}

/*
 * Leases and unsent actions; results and what cannot be stored.
 */
static void
test_held_and_results(void)
{
	Held held = {0};
	Results results = {0};
	Action *action;
	int64_t wake = NEVER;
	Lease *lease = HeldLease(&held, 7, 100);

	HeldAdd(&held, lease, 1, 1, "", "{}", 2);
	HeldAdd(&held, HeldLease(&held, 7, 100), 2, 1, "", "{}", 2);
	HeldAdd(&held, HeldLease(&held, 8, 90), 3, 1, "", "{}", 2);
	ok(held.unsent == 3 && held.unsent_bytes == 6 && HeldEarliestEnd(&held, 0, &wake) == 90,
	   "actions share leases");
	ok(HeldAskFor(&held, 1, 0) == 1 && held.leases->asked, "leases are extended");
	HeldPutOff(&held, 50);
	ok(HeldEarliestEnd(&held, 10, &wake) == 100 && wake == 50 && HeldAskFor(&held, 2, 10) == 1,
	   "one that cannot be extended keeps no other from it");
	wake = NEVER;
	action = HeldTake(&held);
	ok(action->outbox_id == 1, "the oldest comes first");
	HeldRelease(&held, action);
	ok(held.leases != NULL && lease->users == 1, "a lease stays while it is used");
	action = HeldTake(&held);
	HeldConclude(&held, action);
	ok(held.leases->next != NULL, "and while a result is not recorded");
	HeldRecorded(&held, 7);
	HeldRecorded(&held, 7);
	ok(held.leases != NULL && held.leases->next == NULL && held.leases->token == 8,
	   "but no longer");
	HeldFree(&held);
	ok(held.leases == NULL, "and goes with the last action");

	for (int i = 0; i < 1500; i++)
		ResultsAdd(&results, RESULT_ACK,
				   &(Result){.outbox_id = i,
							 .text = DuplicateText("\"\\u0000 \xc3\xa9\""),
							 .len = 11,
							 .since = i});
	ok(ResultsSlice(&results, RESULT_ACK) == 1000 && ResultsOldest(&results) == 0,
	   "slices have a bound");
	log_level = LOG_ERROR;
	ResultsTooMany(&results, 1000);
	ok(ResultsSlice(&results, RESULT_ACK) == 500, "what takes too long is made smaller");
	ResultsRecorded(&results);
	ok(ResultsSlice(&results, RESULT_ACK) == 1000, "and larger again");
	ResultsOneByOne(&results, RESULT_ACK, 1000);
	ok(ResultsSlice(&results, RESULT_ACK) == 1,
	   "what cannot be stored together is stored one by one");
	ResultsReplace(&results, RESULT_ACK, "test");
	is(results.queues[RESULT_ACK].first->text, "{\"unstorable\": \"\\\"\\\\u0000 ??\\\"\"}",
	   "what cannot be stored at all is replaced");
	ResultsPark(&results, RESULT_ACK, 0);
	ok(results.count == 1500 && results.queues[RESULT_ACK].first->outbox_id == 1,
	   "what cannot be recorded stands back");
	for (int i = 0; i < 999; i++)
		ResultsDrop(&results, RESULT_ACK, 1);
	ok(ResultsSlice(&results, RESULT_ACK) == 500, "then slices are large again");
	ResultsWake(&results, SECOND / 2, &wake);
	ok(ResultsSlice(&results, RESULT_ACK) == 500 && wake > SECOND / 2 && wake < 2 * SECOND,
	   "it waits for its time");
	ResultsWake(&results, 2 * SECOND, &wake);
	ok(ResultsSlice(&results, RESULT_ACK) == 1 && results.queues[RESULT_ACK].first->outbox_id == 0,
	   "and is tried again by itself");
	ResultsPark(&results, RESULT_ACK, 0);
	ResultsFree(&results);
	ok(results.count == 0 && results.bytes == 0, "nothing is left");
	log_level = LOG_INFO;
}

/*
 * Arrays in the server's binary form.
 */
static void
test_arrays(void)
{
	static const char expected[] = "\0\0\0\1\0\0\0\1\0\0\0\x14\0\0\0\2\0\0\0\1"
								   "\0\0\0\x8\0\0\0\1\0\0\0\2\xff\xff\xff\xff";
	static const char uuids[] = "\0\0\0\1\0\0\0\1\0\0\x0b\x86\0\0\0\3\0\0\0\1"
								"\0\0\0\x10\x00\x11\x22\x33\x44\x55\x66\x77"
								"\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
								"\xff\xff\xff\xff\xff\xff\xff\xff";
	Array array = {0};

	ArrayStart(&array, ARRAY_INT8, 2);
	ArrayAddNumber(&array, 0x100000002);
	ArrayAddNull(&array);
	ok(array.len == sizeof(expected) - 1 && memcmp(array.data, expected, array.len) == 0,
	   "an array of a number and a NULL");
	ArrayStart(&array, ARRAY_UUID, 3);
	ArrayAddUuid(&array, "00112233-4455-6677-8899-aabbccddeeff");
	ArrayAddUuid(&array, "");
	ArrayAddUuid(&array, "00112233-4455-6677-8899-aabbccddeefg");
	ok(array.len == sizeof(uuids) - 1 && memcmp(array.data, uuids, array.len) == 0,
	   "an array of a uuid, and of what is none");
	BufferFree(&array);
}

/* What the handlers of the tests of the loop have seen. */
static int stirred;    /* descriptors that were ready */
static int expired;    /* timers that ran */
static int read_first; /* how many had stirred when the last one did */

/*
 * A descriptor is ready: read from it.
 */
static void
stir(void *owner, int fd, uint32_t events)
{
	char c;

	(void) owner;
	(void) events;
	if (read(fd, &c, 1) == 1)
		stirred++;
}

/*
 * A descriptor is ready, and it takes long to handle it.
 */
static void
stand_still(void *owner, int fd, uint32_t events)
{
	stir(owner, fd, events);
	usleep(500000);
}

/*
 * A timer has expired.
 */
static void
expire(void *owner)
{
	(void) owner;
	expired++;
	read_first = stirred;
}

/*
 * Let the loop run once, for at most so many milliseconds.
 */
static void
run_loop(int64_t milliseconds)
{
	LoopTimer timer = {expire, NULL, ClockNow() + milliseconds * MILLISECOND, NULL};

	LoopAddTimer(&timer);
	LoopRunOnce();
	LoopRemoveTimer(&timer);
}

/*
 * Descriptors that are closed without a word, and their successors.
 */
static void
test_loop_descriptors(void)
{
	int first[2], second[2], copy;

	LoopStart();
	ok(pipe(first) == 0, "a pipe");
	LoopWatch(first[0], EPOLLIN, stir, NULL);
	close(first[0]);
	close(first[1]);
	ok(pipe(second) == 0 && second[0] == first[0], "another one of the same number");
	LoopWatch(second[0], EPOLLIN, stir, NULL);
	stirred = 0;
	ok(write(second[1], "x", 1) == 1, "something is written");
	run_loop(1000);
	ok(stirred == 1, "the successor of a descriptor that was closed is watched");
	LoopWatch(second[0], 0, NULL, NULL);

	/* One that is kept, forgotten, and opened anew. */
	LoopKeep(second[0]);
	LoopWatch(second[0], EPOLLIN, stir, NULL);
	LoopWatch(second[0], 0, NULL, NULL);
	close(second[0]);
	close(second[1]);
	ok(pipe(first) == 0 && first[0] == second[0], "a third one");
	LoopKeep(first[0]);
	LoopWatch(first[0], EPOLLIN, stir, NULL);
	ok(write(first[1], "x", 1) == 1, "something is written");
	run_loop(1000);
	ok(stirred == 2, "so is one that is new to its owner");

	/* One that lives on under another number: the kernel goes on to tell of it. */
	LoopKeep(first[0]);
	LoopWatch(first[0], EPOLLIN, stir, NULL);
	copy = dup(first[0]);
	close(first[0]);
	LoopForget(first[0]);
	ok(pipe(second) == 0 && second[0] == first[0], "a fourth one");
	LoopWatch(second[0], EPOLLIN, stir, NULL);
	ok(write(first[1], "x", 1) == 1, "the one that is forgotten is ready");
	run_loop(1000);
	expired = 0;
	run_loop(20);
	ok(stirred == 2 && expired == 1, "a descriptor that is forgotten keeps the loop from nothing");
	ok(write(second[1], "x", 1) == 1, "the one that is watched is ready");
	run_loop(1000);
	ok(stirred == 3, "and the one that has its number is watched");
	LoopForget(second[0]);
	close(copy);
	close(first[1]);
	close(second[0]);
	close(second[1]);
	LoopEnd();
}

/*
 * After a stall, what has arrived is read before time is called up.
 */
static void
test_loop_stall(void)
{
	enum
	{
		COUNT = 100 /* more than are handled at once */
	};
	int pipes[COUNT][2];
	LoopTimer patient = {expire, NULL, 0, NULL};
	LoopTimer other = {expire, NULL, 0, NULL};
	int64_t before = LoopTime();
	bool good = true;

	LoopStart();
	for (int i = 0; i < COUNT; i++)
	{
		good = good && pipe(pipes[i]) == 0 && write(pipes[i][1], "x", 1) == 1;
		LoopWatch(pipes[i][0], EPOLLIN, i == 0 ? stand_still : stir, NULL);
	}
	ok(good, "many pipes");
	stirred = expired = 0;
	patient.due = other.due = ClockNow() + 50 * MILLISECOND;
	LoopAddPatientTimer(&patient);
	LoopAddTimer(&other);
	LoopRunOnce();
	ok(expired == 1 && read_first == COUNT,
	   "after a stall, all that has come is read before a timer runs");
	ok(patient.due != NEVER, "a timer that waits for others does not count the stall");
	ok(LoopTime() - before < 400 * MILLISECOND, "nor does the loop's time");
	while (expired < 2)
		LoopRunOnce();
	ok(patient.due == NEVER, "but it runs in the end");
	LoopRemoveTimer(&patient);
	LoopRemoveTimer(&other);
	for (int i = 0; i < COUNT; i++)
	{
		LoopForget(pipes[i][0]);
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	LoopEnd();
}

/*
 * Become somebody with a network and a list of name servers of his own, of which
 * the only one does not answer.  False if this machine does not allow that.
 */
static bool
silence_names(void)
{
	const struct sockaddr_in name_server = {.sin_family = AF_INET,
											.sin_port = htons(53),
											.sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	char path[100];
	int fd;
	FILE *file;

	snprintf(path, sizeof(path), "%s/resolv.conf", scratch);
	file = fopen(path, "w");
	if (file == NULL || fprintf(file, "nameserver 127.0.0.1\n") < 0 || fclose(file) != 0)
		return false;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount(path, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0 &&
		   bind(fd, (const struct sockaddr *) &name_server, sizeof(name_server)) == 0;
}

/*
 * Nothing of this is expected to happen.
 */
static void
never_connected(void *owner)
{
	(void) owner;
	printf("connected ");
}

/*
 * Connect to a database whose name nobody knows, and count what else the loop does
 * meanwhile.
 */
static void
connect_by_name(int argc, char **argv)
{
	DatabaseHandlers handlers = {.connected = never_connected};
	int64_t end;
	Database *database;

	(void) argc;
	if (!silence_names())
	{
		printf("left out");
		return;
	}
	LoopStart();
	expired = 0;
	end = ClockNow() + 2 * SECOND;
	database = DatabaseOpen(argv[1], "unit", "test", handlers, NULL);
	while (ClockNow() < end)
		run_loop(20);
	printf("%s", expired >= 50 ? "free" : "blocked");
	DatabaseClose(database);
}

/*
 * A name server that does not answer keeps the loop from nothing.
 */
static void
test_silent_names(void)
{
	static const char *const conninfos[] = {
		"host=db.example.com",
		"host=db.example.com,other.example.com",
		"host=/nonexistent,db.example.com",
		"postgresql://db.example.com:5432/postgres",
	};
	char said[512], path[100];

	for (size_t i = 0; i < sizeof(conninfos) / sizeof(conninfos[0]); i++)
	{
		char conninfo[100];

		snprintf(conninfo, sizeof(conninfo), "%s", conninfos[i]);
		run_in_child(connect_by_name, (char *[]){"unit", conninfo, NULL}, said, sizeof(said));
		if (strstr(said, "left out") != NULL)
			ok(true, "# skip no namespaces here");
		else
			ok(strstr(said, "free") != NULL, "the loop goes on while a name is looked up: %s",
			   conninfo);
	}
	snprintf(path, sizeof(path), "%s/resolv.conf", scratch);
	unlink(path);
}

/*
 * Read options, and tell some of them.
 */
static void
tell_options(int argc, char **argv)
{
	Settings settings = {0};

	SettingsRead(&settings, argc, argv);
	printf("%s %d %lld %s %d", settings.gateway_url, settings.concurrency,
		   (long long) (settings.lease / SECOND), settings.consumer,
		   settings.payload_key_files.count);
}

#define TRY(...) \
	run_in_child(tell_options, (char *[]){"acteon-relay", __VA_ARGS__, NULL}, said, sizeof(said))

/*
 * Options from the command line and the environment.
 */
static void
test_options(void)
{
	char said[512];
	char name[202] = "";

	ok(TRY("--gateway-url", "http://g:80/x/", "--lease=1m", "--consumer=me") == 0,
	   "options are read");
	is(said, "http://g:80/x 32 60 me 0", "both ways of giving a value, and the defaults");
	setenv("ACTEON_RELAY_GATEWAY_URL", "https://env", 1);
	setenv("ACTEON_RELAY_CONCURRENCY", "5", 1);
	setenv("ACTEON_RELAY_PAYLOAD_KEY_FILE", "/a:/b", 1);
	ok(TRY("--consumer=me", "--concurrency=7") == 0, "so is the environment");
	is(said, "https://env 7 30 me 2", "and the command line wins");
	TRY("--payload-key-file=/c", "--consumer=me");
	is(said, "https://env 5 30 me 1", "also over a list");
	ok(TRY("--bogus") == 2, "an unknown option is refused");
	is(said, "acteon-relay: unknown option --bogus", "by name");
	ok(TRY("--bacth-size=5") == 2, "a mistyped option is refused");
	is(said, "acteon-relay: unknown option --bacth-size (perhaps you meant --batch-size)",
	   "with the one that may have been meant");
	ok(TRY("--concurrency=0") == 2, "a value out of bounds is refused");
	is(said,
	   "acteon-relay: \"0\" is not a valid value for --concurrency: expected a whole number from "
	   "1 to 1000",
	   "by name, with what was expected");
	ok(TRY("--lease") == 2 && TRY("--drain=on") == 2 && TRY("x") == 2, "so are other mistakes");
	ok(TRY("--lease=15s", "--request-timeout=10m") == 0,
	   "a lease may be shorter than a request: it is prolonged");
	ok(TRY("--share=0") == 2 && TRY("--share=1.1") == 2 && TRY("--share=x") == 2 &&
		   TRY("--share=0.25") == 0,
	   "a share is a part of one");
	ok(TRY("--check-as=a/b/c") == 2 && TRY("--check-as=a/b/c/d") == 0,
	   "what to check with has four parts");
	ok(TRY("--gateway-url=http://user:pw@host") == 2 && TRY("--gateway-url=ftp://host") == 2 &&
		   TRY("--gateway-url=http://") == 2 && TRY("--gateway-url=http://h/?x") == 2,
	   "so are URLs that are not plain");
	ok(TRY("--gateway-url=http://h:99999") == 2 && TRY("--gateway-url=http://h:0") == 2 &&
		   TRY("--gateway-url=http://h:x") == 2 && TRY("--gateway-url=http:///x") == 2 &&
		   TRY("--gateway-url=http://[::1") == 2,
	   "and URLs with a wrong host or port");
	ok(TRY("--gateway-url=https://[::1]:8443/a") == 0, "an IPv6 address is one");
	ok(TRY("--gateway-url=http://user:s3cret@host") == 2 && strstr(said, "--gateway-url") != NULL &&
		   strstr(said, "s3cret") == NULL,
	   "a wrong URL is not shown");
	ok(TRY("--gateway-ulr=http://user:s3cret@host") == 2 && strstr(said, "s3cret") == NULL,
	   "nor is the value of an unknown option");
	ok(TRY("--database=host=x password='s3cret") == 2 && strstr(said, "--database") != NULL &&
		   strstr(said, "s3cret") == NULL,
	   "a wrong connection string is refused, and not shown");
	ok(TRY("--database=postgresql://u:s3%zz@h/d") == 2 && TRY("--database=s3cret=1") == 2 &&
		   strstr(said, "s3") == NULL,
	   "so are others");
	ok(TRY("--database=host=h dbname=d") == 0 && TRY("--database=postgres://h/d") == 0 &&
		   TRY("--database=name") == 0 && TRY("--database=") == 0,
	   "right ones are taken");
	memset(name, 'n', 201);
	ok(TRY("--consumer=") == 2 && TRY("--consumer", name) == 2, "a consumer needs a short name");
	name[200] = '\0';
	ok(TRY("--consumer", name) == 0, "200 bytes are short");
	ok(TRY("--ca-file=/nonexistent") == 2 && strstr(said, "--ca-file") != NULL &&
		   strstr(said, "/nonexistent") != NULL,
	   "a file that cannot be read is named");
	ok(TRY("--client-cert=/") == 2 && TRY("--client-cert=/dev/null") == 2 &&
		   TRY("--client-cert=/etc/passwd", "--client-key=/nonexistent") == 2 &&
		   strstr(said, "--client-key") != NULL,
	   "so is one that is none");
	ok(TRY("--client-cert=/etc/passwd", "--client-key=/etc/passwd") == 0, "others are taken");
	ok(TRY("--help") == 0 && TRY("--version") == 0 && TRY("--man") == 0 && TRY("--markdown") == 0,
	   "what only prints exits with 0");
	setenv("ACTEON_RELAY_LEASE", "x", 1);
	ok(TRY("--consumer=me") == 2 && strstr(said, "ACTEON_RELAY_LEASE") != NULL,
	   "a wrong variable is named");
	unsetenv("ACTEON_RELAY_LEASE");
	unsetenv("ACTEON_RELAY_GATEWAY_URL");
	ok(TRY("--drain") == 2, "the gateway's URL is required");
}

/*
 * What a relay that has ended says: what it has counted, and that it has ended.
 */
static void
test_metrics_at_the_end(void)
{
	static const BatchFigures batch = {7, {1, 2, 3, 4, 5, 6}, true};
	Gauges gauges = {.running = true,
					 .gateway_known = true,
					 .gateway_up = true,
					 .database_up = true,
					 .queue_known = true,
					 .batches = &batch,
					 .batch_count = 1};
	static const char *const present[] = {
		"acteon_relay_gateway_up ",    "acteon_relay_database_up ",    "acteon_relay_queue_depth ",
		"acteon_relay_queue_dead_5m ", "acteon_relay_queue_retrying ", "acteon_replay_batch_"};
	Buffer runs = {0}, ended = {0};

	MetricsText(&runs, &gauges);
	gauges.running = false;
	MetricsText(&ended, &gauges);
	for (size_t i = 0; i < sizeof(present) / sizeof(present[0]); i++)
		ok(strstr(runs.data, present[i]) != NULL && strstr(ended.data, present[i]) == NULL,
		   "%s is told while it runs, and not later", present[i]);
	ok(strstr(runs.data, "\nacteon_relay_up 1\n") != NULL, "it runs");
	ok(strstr(ended.data, "\nacteon_relay_up 0\n") != NULL, "it has ended");
	gauges = (Gauges){.running = true, .gateway_up = true};
	BufferClear(&runs);
	MetricsText(&runs, &gauges);
	ok(strstr(runs.data, "gateway_up ") == NULL, "what is not known of the gateway is not told");
	ok(strstr(runs.data, "queue_") == NULL, "nor what is not known of the queue");
	BufferFree(&runs);
	BufferFree(&ended);
}

/*
 * Figures of the queue that are old are not told as the present ones.
 */
static void
test_figures_age(void)
{
	Figures figures = {.stats_known = false, .stats_at = 100 * SECOND};

	ok(!FiguresAreFresh(&figures, 100 * SECOND), "figures that have never come are not fresh");
	figures.stats_known = true;
	ok(FiguresAreFresh(&figures, 100 * SECOND), "figures that have just come are");
	ok(FiguresAreFresh(&figures, 160 * SECOND), "and while the next ones may be late");
	ok(!FiguresAreFresh(&figures, 220 * SECOND), "not after two minutes");
}

/*
 * Test what is read as the trace of a body.
 */
static void
try_trace(const char *body, const char *parent, const char *state)
{
	Trace trace = {0};
	bool found = TraceOfBody(&trace, body, strlen(body));

	ok(found == (parent[0] != '\0'), "%s a trace: %.60s", found ? "there is" : "there is not",
	   body);
	is(trace.parent, parent, "traceparent");
	is(BufferText(&trace.state), state, "tracestate");
	BufferFree(&trace.state);
}

/*
 * The traces of bodies.
 */
static void
test_traces(void)
{
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define CONTEXT ", \"trace_context\": {\"traceparent\": \"" PARENT "\""
#define CREATED ", \"created_at\": \"2026-01-01T00:00:00Z\"}"
	static const char whole[] =
		"{\"id\": \"x\"" CONTEXT ", \"tracestate\": \"a=\\\"\\\\b\"}" CREATED;
	Trace trace = {0}, other = {0};

	try_trace("{\"id\": \"x\"" CONTEXT "}" CREATED, PARENT, "");
	try_trace(whole, PARENT, "a=\"\\b");
	try_trace("{\"id\": \"x\"" CONTEXT ", \"tracestate\": \"a=t,\\t,b=2\"}" CREATED, PARENT,
			  "a=t,\t,b=2");
	try_trace("{\"payload\": {\"a\": 1" CONTEXT "}" CREATED "" CONTEXT "}" CREATED, PARENT, "");
	try_trace("{\"payload\": {\"a\": 1" CONTEXT "}" CREATED ", \"metadata\": {}" CREATED, "", "");
	try_trace("{\"id\": \"x\"" CONTEXT ", \"other\": 1}" CREATED, "", "");
	try_trace("{\"id\": \"x\"" CONTEXT ", \"tracestate\": \"no member\"}" CREATED, "", "");
	try_trace("{\"id\": \"x\"" CREATED, "", "");
	try_trace("", "", "");
	/* Cut anywhere, it is no trace, and nothing behind it is read. */
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
	{
		char *cut = Duplicate(whole, len);

		if (TraceOfBody(&trace, cut, len))
			ok(false, "a body that is cut has a trace: %s", cut);
		free(cut);
	}
	ok(TraceMake(&trace) && TraceMake(&other) && strcmp(trace.parent, other.parent) != 0,
	   "each trace that is made is another one");
	ok(ReadTraceparent(trace.parent, strlen(trace.parent), other.parent) &&
		   strcmp(trace.parent, other.parent) == 0,
	   "and well-formed: %s", trace.parent);
	BufferFree(&trace.state);
	BufferFree(&other.state);
#undef PARENT
#undef CONTEXT
#undef CREATED
}

int
main(void)
{
	if (mkdtemp(scratch) == NULL)
		return 2;
	test_json_validity();
	test_json_nonsense();
	test_json_strings();
	test_utf8();
	test_outcomes();
	test_refusals();
	test_doubts();
	test_error_length();
	test_json_members();
	test_sealed();
	TestSigning(scratch);
	test_secrets();
	test_metrics_file();
	test_metrics_batches();
	test_metrics_at_the_end();
	test_figures_age();
	test_traces();
	test_claims();
	test_stalled_log();
	test_clock();
	test_throttle_tenants();
	test_throttle_outages();
	test_throttle();
	test_distrusted();
	test_throttle_fixed();
	test_limit();
	test_limit_live();
	test_limit_elsewhere();
	test_held_and_results();
	test_arrays();
	test_loop_descriptors();
	test_loop_stall();
	test_silent_names();
	test_options();
#ifdef WITH_KAFKA
	TestKafka();
#endif
	rmdir(scratch);
	return done_testing();
}
