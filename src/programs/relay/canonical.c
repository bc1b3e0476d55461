/*
 * canonical.c
 *		The bytes of an action that are signed.
 *
 * The gateway reads an action, writes it as compact JSON, without what makes up the
 * signature, and checks the signature over that.  Here the same bytes are made of the
 * body that is sent: keys in the order of their bytes at every level, of a key that comes
 * twice the last value, numbers as the gateway reads and prints them, times in UTC with
 * as few digits as they need, and the fields that are not there as null.
 *
 * What the gateway cannot read, and so never takes, has no such bytes.
 */
#include "relay/canonical.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <yajl/yajl_parse.h>

#include "base/gateway_number.h"
#include "common/json.h"

/* The gateway reads no more arrays and objects in one another, with the action itself. */
#define MAX_NESTING 127

/* Digits of a second that the gateway keeps. */
#define NANO_DIGITS 9

/* A member of an object: its key, and where in the text the key and the value stand. */
typedef struct Member
{
	size_t key; /* in the buffer of keys */
	size_t key_len;
	size_t start;
	size_t value;
	size_t end;
} Member;

/* An array or an object that has not ended. */
typedef struct Frame
{
	bool is_object;
	bool has_values;
	size_t start; /* of its text */
	size_t keys;  /* where its keys begin */
	size_t first; /* of its members */
} Frame;

typedef struct Writer
{
	Buffer text;
	Buffer keys;
	Buffer sorted; /* used while members are put in order */
	Member *members;
	size_t member_count;
	size_t member_room;
	Frame frames[MAX_NESTING];
	int depth;
	Canonical *canonical;
	const char *error;
} Writer;

/* A field of an action, in the order in which they are signed. */
static const struct
{
	const char *name;
	const char *absent; /* what stands for it if it is not there; NULL: it is required */
	bool is_time;
} fields[] = {
	{"action_type", NULL, false}, {"attachments", "[]", false},
	{"created_at", NULL, true},   {"dedup_key", "null", false},
	{"ends_at", "null", true},    {"fingerprint", "null", false},
	{"id", NULL, false},          {"metadata", "{}", false},
	{"namespace", NULL, false},   {"payload", NULL, false},
	{"provider", NULL, false},    {"starts_at", "null", true},
	{"status", "null", false},    {"template", "null", false},
	{"tenant", NULL, false},      {"trace_context", "{}", false},
};

/*
 * Append bytes that may be of a sealed payload: no copies of them stay behind.
 */
static void
append(Buffer *buffer, const void *data, size_t len)
{
	BufferReserveWiping(buffer, len);
	BufferAppend(buffer, data, len);
}

/*
 * A value begins.
 */
static void
begin_value(Writer *writer)
{
	Frame *frame = writer->depth > 0 ? &writer->frames[writer->depth - 1] : NULL;

	if (frame == NULL || frame->is_object)
		return;
	if (frame->has_values)
		append(&writer->text, ",", 1);
	frame->has_values = true;
}

/*
 * Append a string with as few escapes as the gateway writes.
 */
static void
append_string(Buffer *text, const char *string, size_t len)
{
	static const char short_escapes[] = "btn?fr"; /* of the characters from 8 on */
	size_t from = 0;

	append(text, "\"", 1);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) string[i];
		char escape[8];

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		append(text, string + from, i - from);
		from = i + 1;
		if (c >= ' ')
			snprintf(escape, sizeof(escape), "\\%c", c);
		else if (c >= '\b' && c <= '\r' && c != '\v')
			snprintf(escape, sizeof(escape), "\\%c", short_escapes[c - '\b']);
		else
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		append(text, escape, strlen(escape));
	}
	append(text, string + from, len - from);
	append(text, "\"", 1);
}

/*
 * Give up reading.  Like the functions that yajl calls this returns 0 to end it.
 */
static int
give_up(Writer *writer, const char *error)
{
	writer->error = error;
	return 0;
}

static int
take_word(Writer *writer, const char *word)
{
	begin_value(writer);
	append(&writer->text, word, strlen(word));
	return 1;
}

static int
take_null(void *context)
{
	return take_word(context, "null");
}

static int
take_boolean(void *context, int value)
{
	return take_word(context, value ? "true" : "false");
}

static int
take_number(void *context, const char *text, size_t len)
{
	Writer *writer = context;
	GatewayNumber number = ReadGatewayNumber(text, len);
	char printed[GATEWAY_DOUBLE_LEN];

	begin_value(writer);
	if (number.is_integer)
	{
		append(&writer->text, text, len);
		return 1;
	}
	if (isinf(number.value))
		return give_up(writer, "it has a number that is too large for the gateway");
	PrintGatewayDouble(printed, number.value);
	append(&writer->text, printed, strlen(printed));
	return 1;
}

/*
 * Is this the value of a field of the action itself?
 */
static bool
is_field(const Writer *writer, const char *name)
{
	const Member *member;

	if (writer->depth != 1 || writer->member_count == 0)
		return false;
	member = &writer->members[writer->member_count - 1];
	return member->key_len == strlen(name) &&
		   memcmp(writer->keys.data + member->key, name, member->key_len) == 0;
}

static int
take_string(void *context, const unsigned char *text, size_t len)
{
	Writer *writer = context;

	if (!IsUtf8((const char *) text, len))
		return give_up(writer, "it has half a surrogate pair");
	begin_value(writer);
	if (is_field(writer, "tenant") || is_field(writer, "namespace"))
	{
		Buffer *place = is_field(writer, "tenant") ? &writer->canonical->tenant
												   : &writer->canonical->name_space;

		BufferClear(place);
		BufferAppend(place, text, len);
	}
	append_string(&writer->text, (const char *) text, len);
	return 1;
}

/*
 * An array or an object begins.
 */
static int
begin_frame(Writer *writer, bool is_object)
{
	begin_value(writer);
	if (writer->depth == MAX_NESTING)
		return give_up(writer, "it is nested too deeply for the gateway");
	writer->frames[writer->depth++] = (Frame){.is_object = is_object,
											  .start = writer->text.len,
											  .keys = writer->keys.len,
											  .first = writer->member_count};
	append(&writer->text, is_object ? "{" : "[", 1);
	return 1;
}

static int
begin_array(void *context)
{
	return begin_frame(context, false);
}

static int
begin_object(void *context)
{
	return begin_frame(context, true);
}

static int
end_array(void *context)
{
	Writer *writer = context;

	append(&writer->text, "]", 1);
	writer->depth--;
	return 1;
}

/*
 * Make room for one more member.
 */
static void
reserve_member(Writer *writer)
{
	if (writer->member_count < writer->member_room)
		return;
	writer->member_room = writer->member_room > 0 ? 2 * writer->member_room : 64;
	writer->members = Reallocate(writer->members, writer->member_room * sizeof(Member));
}

static int
take_key(void *context, const unsigned char *text, size_t len)
{
	Writer *writer = context;
	Frame *frame = &writer->frames[writer->depth - 1];
	Member *member;

	if (!IsUtf8((const char *) text, len))
		return give_up(writer, "it has half a surrogate pair");
	if (frame->has_values)
	{
		writer->members[writer->member_count - 1].end = writer->text.len;
		append(&writer->text, ",", 1);
	}
	frame->has_values = true;
	reserve_member(writer);
	member = &writer->members[writer->member_count++];
	*member = (Member){.key = writer->keys.len, .key_len = len, .start = writer->text.len};
	append(&writer->keys, text, len);
	append_string(&writer->text, (const char *) text, len);
	append(&writer->text, ":", 1);
	member->value = writer->text.len;
	return 1;
}

/*
 * Compare the keys of two members by their bytes.
 */
static int
compare_keys(const Writer *writer, const Member *a, const Member *b)
{
	size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
	int order = len > 0 ? memcmp(writer->keys.data + a->key, writer->keys.data + b->key, len) : 0;

	return order != 0 ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/*
 * The same, for qsort; of one key in the order in which they came.
 */
static int
compare_members(const void *a, const void *b, void *writer)
{
	const Member *first = a, *second = b;
	int order = compare_keys(writer, first, second);

	return order != 0 ? order : (first->start > second->start) - (first->start < second->start);
}

/*
 * Put the members of an object in order; of those with one key the last one stays.
 */
static void
sort_members(Writer *writer, const Frame *frame)
{
	Member *members = &writer->members[frame->first];
	size_t count = writer->member_count - frame->first;
	bool is_sorted = true;

	for (size_t i = 1; i < count && is_sorted; i++)
		is_sorted = compare_keys(writer, &members[i - 1], &members[i]) < 0;
	if (is_sorted)
		return;
	qsort_r(members, count, sizeof(Member), compare_members, writer);
	writer->sorted.len = 0;
	for (size_t i = 0; i < count; i++)
	{
		if (i + 1 < count && compare_keys(writer, &members[i], &members[i + 1]) == 0)
			continue;
		append(&writer->sorted, writer->sorted.len > 0 ? "," : "{", 1);
		append(&writer->sorted, writer->text.data + members[i].start,
			   members[i].end - members[i].start);
	}
	writer->text.len = frame->start;
	append(&writer->text, writer->sorted.data, writer->sorted.len);
}

static int
end_object(void *context)
{
	Writer *writer = context;
	const Frame *frame = &writer->frames[--writer->depth];

	if (frame->has_values)
		writer->members[writer->member_count - 1].end = writer->text.len;
	/* The fields of the action itself are taken from where they stand. */
	if (writer->depth == 0)
		return 1;
	sort_members(writer, frame);
	append(&writer->text, "}", 1);
	writer->member_count = frame->first;
	writer->keys.len = frame->keys;
	return 1;
}

/*
 * Read a number of so many digits, and what stands behind it.
 */
static bool
read_digits(const char **at, int count, char behind, int *number)
{
	*number = 0;
	for (; count > 0; count--, (*at)++)
	{
		if (**at < '0' || **at > '9')
			return false;
		*number = *number * 10 + (**at - '0');
	}
	return behind == '\0' || *(*at)++ == behind;
}

/*
 * Read the year of a time: four digits, or a sign and more of them.
 */
static bool
read_year(const char **at, int *year)
{
	bool is_signed = **at == '+' || **at == '-';
	bool is_negative = **at == '-';
	int count;

	*at += is_signed ? 1 : 0;
	count = (int) strspn(*at, "0123456789");
	if (count < 4 || count > 6 || (!is_signed && count > 4) || !read_digits(at, count, '-', year))
		return false;
	*year = is_negative ? -*year : *year;
	return true;
}

/*
 * Read the fraction of a second, if there is one: as many of its digits as the gateway
 * keeps, without groups of three zeros at the end.  Returns how many that are.
 */
static int
read_fraction(const char **at, char digits[NANO_DIGITS + 1])
{
	int count, kept = NANO_DIGITS;

	digits[0] = '\0';
	if (**at != '.')
		return 0;
	count = (int) strspn(++*at, "0123456789");
	memset(digits, '0', NANO_DIGITS);
	memcpy(digits, *at, (size_t) (count < NANO_DIGITS ? count : NANO_DIGITS));
	*at += count;
	while (kept > 0 && strncmp(digits + kept - 3, "000", 3) == 0)
		kept -= 3;
	digits[kept] = '\0';
	return kept;
}

/*
 * Read the distance from UTC, in minutes, with which a time ends.
 */
static bool
read_zone(const char *at, int *minutes)
{
	int hour, minute;
	bool is_west = *at == '-';

	*minutes = 0;
	if (*at == 'Z' || *at == 'z')
		return at[1] == '\0';
	if (*at != '+' && *at != '-')
		return false;
	at++;
	if (!read_digits(&at, 2, ':', &hour) || !read_digits(&at, 2, '\0', &minute))
		return false;
	*minutes = (hour * 60 + minute) * (is_west ? -1 : 1);
	return *at == '\0';
}

/*
 * Append a time, an RFC 3339 text, as the gateway prints it.  False if it is none.
 */
static bool
append_time(Buffer *text, const char *time)
{
	struct tm moment = {0};
	char fraction[NANO_DIGITS + 1];
	char printed[60];
	const char *at = time;
	int year, second, zone, digits;
	time_t seconds;

	if (!read_year(&at, &year) || !read_digits(&at, 2, '-', &moment.tm_mon) ||
		!read_digits(&at, 2, '\0', &moment.tm_mday) || *at == '\0' || strchr("Tt ", *at) == NULL)
		return false;
	at++;
	if (!read_digits(&at, 2, ':', &moment.tm_hour) || !read_digits(&at, 2, ':', &moment.tm_min) ||
		!read_digits(&at, 2, '\0', &second))
		return false;
	digits = read_fraction(&at, fraction);
	if (!read_zone(at, &zone))
		return false;
	/* Whole minutes are moved, so that a leap second stays one. */
	moment.tm_year = year - 1900;
	moment.tm_mon--;
	moment.tm_min -= zone;
	seconds = timegm(&moment);
	if (gmtime_r(&seconds, &moment) == NULL)
		return false;
	year = moment.tm_year + 1900;
	snprintf(printed, sizeof(printed),
			 year >= 0 && year <= 9999 ? "\"%04d-%02d-%02dT%02d:%02d:%02d%s%s"
									   : "\"%+05d-%02d-%02dT%02d:%02d:%02d%s%s",
			 year, moment.tm_mon + 1, moment.tm_mday, moment.tm_hour, moment.tm_min, second,
			 digits > 0 ? "." : "", fraction);
	append(text, printed, strlen(printed));
	append(text, "Z\"", 2);
	return true;
}

/*
 * Append the value of a field as it is signed.
 */
static bool
append_field(Buffer *text, bool is_time, const char *value, size_t len)
{
	char *time;
	bool good;

	if (!is_time || strncmp(value, "null", len) == 0)
	{
		append(text, value, len);
		return true;
	}
	if (len < 2 || value[0] != '"')
		return false;
	time = Duplicate(value + 1, len - 2);
	good = append_time(text, time);
	free(time);
	return good;
}

/*
 * Find a field of the action, the last one of its name.
 */
static const Member *
find_field(const Writer *writer, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = writer->member_count; i > 0; i--)
	{
		const Member *member = &writer->members[i - 1];

		if (member->key_len == len && memcmp(writer->keys.data + member->key, name, len) == 0)
			return member;
	}
	return NULL;
}

/*
 * Write the fields of the action in their order.
 */
static bool
write_fields(Writer *writer, Buffer *text)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		const Member *member = find_field(writer, fields[i].name);
		const char *value = member != NULL ? writer->text.data + member->value : fields[i].absent;
		size_t len = member != NULL  ? member->end - member->value
					 : value != NULL ? strlen(value)
									 : 0;

		if (value == NULL)
			return false;
		/* There are none: the field is left out. */
		if (strcmp(fields[i].name, "attachments") == 0 && len == 2 && memcmp(value, "[]", 2) == 0)
			continue;
		append(text, text->len > 0 ? ",\"" : "{\"", 2);
		append(text, fields[i].name, strlen(fields[i].name));
		append(text, "\":", 2);
		if (!append_field(text, fields[i].is_time, value, len))
			return false;
	}
	append(text, "}", 1);
	return true;
}

/*
 * Make the bytes of an action that are signed, of the body that is sent.  False, with
 * what is wrong, if the gateway cannot read it.  The caller wipes what was made, in any
 * case.
 */
bool
CanonicalRead(Canonical *canonical, const char *action, size_t len, const char **error)
{
	static const yajl_callbacks callbacks = {.yajl_null = take_null,
											 .yajl_boolean = take_boolean,
											 .yajl_number = take_number,
											 .yajl_string = take_string,
											 .yajl_start_map = begin_object,
											 .yajl_map_key = take_key,
											 .yajl_end_map = end_object,
											 .yajl_start_array = begin_array,
											 .yajl_end_array = end_array};
	Writer *writer = Allocate(sizeof(Writer));
	bool good;

	*canonical = (Canonical){.text = {0}};
	writer->canonical = canonical;
	BufferReserveWiping(&writer->text, len + len / 8);
	BufferReserveWiping(&canonical->text, len + len / 8);
	good = JsonParse(action, len, &callbacks, writer) && writer->text.len > 0 &&
		   writer->text.data[0] == '{' && write_fields(writer, &canonical->text);
	if (!good)
		*error = writer->error != NULL ? writer->error : "it is no action";
	BufferWipe(&writer->text);
	BufferWipe(&writer->keys);
	BufferWipe(&writer->sorted);
	free(writer->members);
	free(writer);
	return good;
}

/*
 * Overwrite what was made.
 */
void
CanonicalWipe(Canonical *canonical)
{
	BufferWipe(&canonical->text);
	BufferWipe(&canonical->tenant);
	BufferWipe(&canonical->name_space);
}
