/*
 * error_signature.c
 *		What errors that differ only in their details have in common.
 *
 * The signature of an error is its text with what varies replaced by a word in
 * angle brackets: addresses, ids, times, numbers.  Errors of one cause then have
 * one signature.
 *
 * The text is read once, from its beginning to its end.  Wherever something
 * begins, the rules are tried in the order of the table below, and the first that
 * applies takes as much as it can.  What is replaced is not read again.  Blank
 * space of any kind and length becomes one blank.
 *
 * The signature of a signature is itself.  Hence what a rule leaves must not be what
 * another one, or the same, takes: a placeholder is passed over as a whole, and
 * counts as a part of a word, as that does which it has replaced; and a signature
 * that becomes too long ends between two pieces that are read as they were before.
 *
 * All bytes that mean something here are ASCII, and in no encoding of a server
 * are these a part of another character.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/error_signature.h"
#include "base/message.h"

/* Bytes of an error that are read. */
#define ERROR_BYTES 4096

/* The rules, in the order in which they are tried. */
typedef enum Rule
{
	RULE_URL,
	RULE_EMAIL,
	RULE_UUID,
	RULE_TIME,
	RULE_IP,
	RULE_HOST,
	RULE_QUOTED,
	RULE_HEX,
	RULE_ID,
	RULE_NUMBER
} Rule;

#define NUM_RULES (RULE_NUMBER + 1)
#define ALL_RULES ((1u << NUM_RULES) - 1)

static const char *const rule_names[NUM_RULES] = {
	[RULE_URL] = "url", [RULE_EMAIL] = "email",   [RULE_UUID] = "uuid",     [RULE_TIME] = "time",
	[RULE_IP] = "ip",   [RULE_HOST] = "host",     [RULE_QUOTED] = "quoted", [RULE_HEX] = "hex",
	[RULE_ID] = "id",   [RULE_NUMBER] = "number",
};

/* What stands for what was taken out. */
#define PLACEHOLDER(word) "<" word ">"

static const char *const placeholders[] = {
	PLACEHOLDER("number"), PLACEHOLDER("value"), PLACEHOLDER("id"),   PLACEHOLDER("hex"),
	PLACEHOLDER("time"),   PLACEHOLDER("ip"),    PLACEHOLDER("host"), PLACEHOLDER("uuid"),
	PLACEHOLDER("email"),  PLACEHOLDER("query"), PLACEHOLDER("user"),
};

/* Members of JSON objects whose values say what is wrong. */
static const char *const telling_keys[] = {
	"error", "message",           "reason", "detail", "details", "title", "status", "type",
	"code",  "error_description", "errors",
};

/* Endings of names of files of source code, whose lines are no ports. */
static const char *const source_endings[] = {
	"c",   "cc",  "cpp", "cs", "ex", "exs", "go", "h",   "java",  "js",    "jsx", "kt",  "lua",
	"mjs", "php", "pl",  "pm", "py", "rb",  "rs", "sql", "scala", "swift", "ts",  "tsx",
};

/* A kind of quotation marks, and whether one is known to be closed nowhere. */
typedef struct Quotes
{
	const char *limit;     /* up to here, */
	const char *none_from; /* from here on, there is no closing one */
} Quotes;

/* An error that is being read. */
typedef struct Reader
{
	SignatureRules rules;
	const char *at;
	const char *end;
	char *signature; /* of SIGNATURE_BYTES */
	int len;
	bool is_full;
	bool blank;                /* blank space is to be put out before what comes next */
	bool after_word;           /* what was put out last is part of a word */
	bool in_url;               /* behind its scheme */
	bool in_authority;         /* there, at the host */
	const char *no_email;      /* before this, no e-mail address begins */
	const char *closing;       /* a quotation mark that ends what is read inside; NULL: none */
	bool closes_key;           /* and what that is */
	const char *telling_value; /* where the value of a telling key begins */
	Quotes quotes[3];
} Reader;

PG_FUNCTION_INFO_V1(acteon_error_signature);

/* ----------------------------------------------------------------
 * Characters
 * ----------------------------------------------------------------
 */

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* A part of a word in ASCII. */
static inline bool
is_plain(char c)
{
	return is_letter(c) || is_digit(c) || c == '_';
}

static inline bool
is_word(char c)
{
	return is_plain(c) || IS_HIGHBIT_SET(c);
}

/* Blanks, and what else is not shown. */
static inline bool
is_blank(char c)
{
	return (c >= '\0' && c <= ' ') || c == '\x7F';
}

/* A part of the name of a host. */
static inline bool
is_host(char c)
{
	return is_letter(c) || is_digit(c) || c == '.' || c == '-';
}

/* A part of the name before the @ of an e-mail address. */
static inline bool
is_local(char c)
{
	return is_plain(c) || c == '.' || c == '-' || c == '+' || c == '%';
}

/* A URL ends before one of these. */
static inline bool
ends_url(char c)
{
	return is_blank(c) || strchr("\"'`<>(){}[]|\\^,;", c) != NULL;
}

/*
 * The length of the placeholder at a place, 0 if there is none.
 */
static int
placeholder_length(const char *at, const char *end)
{
	if (at >= end || *at != '<')
		return 0;
	for (int i = 0; i < lengthof(placeholders); i++)
	{
		int len = strlen(placeholders[i]);

		if (end - at >= len && memcmp(at, placeholders[i], len) == 0)
			return len;
	}
	return 0;
}

/*
 * Whether a word goes on at a place.
 */
static bool
continues_word(const Reader *reader, const char *at)
{
	return at < reader->end && (is_word(*at) || placeholder_length(at, reader->end) > 0);
}

/*
 * Skip digits.
 */
static const char *
skip_digits(const char *at, const char *end)
{
	while (at < end && is_digit(*at))
		at++;
	return at;
}

/*
 * Whether a text is in a list of strings.
 */
static bool
is_among(const char *text, int len, const char *const *list, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (strlen(list[i]) == len && pg_strncasecmp(list[i], text, len) == 0)
			return true;
	}
	return false;
}

/*
 * Skip blank space.
 */
static const char *
skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at))
		at++;
	return at;
}

/*
 * Match a text against a pattern: 9 stands for a digit, f for a hexadecimal one, a blank
 * for blank space, and all else for itself.  Returns the end of what matches, NULL if it does not.
 */
static const char *
match(const char *at, const char *end, const char *pattern)
{
	for (; *pattern != '\0'; pattern++)
	{
		const char *from = at;

		if (*pattern == ' ')
			at = skip_blanks(at, end);
		else if (at < end && (*pattern == '9'   ? is_digit(*at)
							  : *pattern == 'f' ? is_hex(*at)
												: *at == *pattern))
			at++;
		if (at == from)
			return NULL;
	}
	return at;
}

/* ----------------------------------------------------------------
 * What is put out
 * ----------------------------------------------------------------
 */

/*
 * Put out a piece, which is read up to a place.  If it does not fit, the signature
 * ends before it; a first piece is cut.
 */
static void
put(Reader *reader, const char *piece, int len, const char *upto)
{
	int blank = reader->blank && reader->len > 0;

	if (reader->len == 0 && len > SIGNATURE_BYTES)
		len = pg_mbcliplen(piece, len, SIGNATURE_BYTES);
	if (reader->len + blank + len > SIGNATURE_BYTES)
	{
		reader->is_full = true;
		return;
	}
	if (blank)
		reader->signature[reader->len++] = ' ';
	memcpy(reader->signature + reader->len, piece, len);
	reader->len += len;
	reader->blank = false;
	reader->in_authority = false;
	reader->at = upto;
}

/*
 * Put out what stands at the reader's place, up to another.
 */
static void
put_through(Reader *reader, const char *upto, bool is_word)
{
	put(reader, reader->at, upto - reader->at, upto);
	reader->after_word = is_word;
}

/*
 * Put out a placeholder in place of what stands there up to a place.
 */
static bool
replace(Reader *reader, const char *upto, const char *placeholder)
{
	put(reader, placeholder, strlen(placeholder), upto);
	reader->after_word = true;
	return true;
}

/* ----------------------------------------------------------------
 * The rules: each returns whether it has taken what stands at the reader's place
 * ----------------------------------------------------------------
 */

/*
 * The scheme of a URL, with who is to log in.
 */
static bool
take_scheme(Reader *reader)
{
	const char *at = reader->at;
	const char *authority;

	while (at < reader->end && is_letter(*at))
		at++;
	if (at == reader->at || match(at, reader->end, "://") == NULL)
		return false;
	authority = at + 3;
	put_through(reader, authority, false);
	for (at = authority; at < reader->end && !ends_url(*at) && strchr("/?#@", *at) == NULL;)
		at++;
	if (at < reader->end && *at == '@' && at > authority && !reader->is_full)
	{
		put(reader, PLACEHOLDER("user") "@", strlen(PLACEHOLDER("user") "@"), at + 1);
		reader->after_word = false;
	}
	reader->in_url = reader->in_authority = true;
	return true;
}

/*
 * What comes behind the path of a URL.
 */
static bool
take_query(Reader *reader)
{
	const char *at = reader->at + 1;

	if (!reader->in_url || (*reader->at != '?' && *reader->at != '#'))
		return false;
	while (at < reader->end && !ends_url(*at))
		at++;
	if (at == reader->at + 1)
		return false;
	put(reader, "?" PLACEHOLDER("query"), strlen("?" PLACEHOLDER("query")), at);
	reader->after_word = true;
	return true;
}

/*
 * An e-mail address.
 */
static bool
take_email(Reader *reader)
{
	const char *at = reader->at;

	if (at < reader->no_email || !is_plain(*at))
		return false;
	while (at < reader->end && is_local(*at))
		at++;
	reader->no_email = at;
	if (at + 1 >= reader->end || at[0] != '@' || !is_host(at[1]) || at[1] == '.' || at[1] == '-')
		return false;
	for (at++; at < reader->end && is_host(*at);)
		at++;
	while (at[-1] == '.' || at[-1] == '-')
		at--;
	return replace(reader, at, PLACEHOLDER("email"));
}

static bool
take_uuid(Reader *reader)
{
	const char *at = match(reader->at, reader->end, "ffffffff-ffff-ffff-ffff-ffffffffffff");

	return at != NULL && !continues_word(reader, at) && replace(reader, at, PLACEHOLDER("uuid"));
}

/*
 * The end of a fraction of a second at a place, or the place.
 */
static const char *
skip_fraction(const char *at, const char *end)
{
	if (at + 1 < end && (*at == '.' || *at == ',') && is_digit(at[1]))
		return skip_digits(at + 1, end);
	return at;
}

/*
 * The end of a time of day, NULL if there is none.
 */
static const char *
match_time_of_day(const char *at, const char *end)
{
	at = match(at, end, "99:99:99");
	return at == NULL ? NULL : skip_fraction(at, end);
}

/*
 * The end of a zone, or the place.
 */
static const char *
skip_zone(const char *at, const char *end)
{
	static const char *const zones[] = {"Z",     " GMT",  " UTC",    " Z",      "+99:99", "-99:99",
										"+9999", "-9999", " +99:99", " -99:99", " +9999", " -9999"};

	for (int i = 0; i < lengthof(zones); i++)
	{
		const char *behind = match(at, end, zones[i]);

		if (behind != NULL && (behind == end || !is_word(*behind)))
			return behind;
	}
	return at;
}

/*
 * The end of a date as of ISO 8601, perhaps with a time, NULL if there is none.
 */
static const char *
match_iso_date(const char *at, const char *end)
{
	const char *behind;

	if ((at = match(at, end, "9999-99-99")) == NULL)
		return NULL;
	behind = at < end && *at == 'T' ? at + 1 : match(at, end, " ");
	if (behind != NULL && (behind = match_time_of_day(behind, end)) != NULL)
		return skip_zone(behind, end);
	return at;
}

/*
 * The end of a date as in mails, perhaps with a time, NULL if there is none.
 */
static const char *
match_mail_date(const char *at, const char *end)
{
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const char *behind = match(at, end, "99 ");

	at = behind != NULL ? behind : match(at, end, "9 ");
	if (at == NULL || end - at < 3 || !is_among(at, 3, months, lengthof(months)) ||
		(at = match(at + 3, end, " 9999")) == NULL)
		return NULL;
	behind = match(at, end, " ");
	if (behind != NULL)
		behind = match_time_of_day(behind, end);
	return behind == NULL ? at : skip_zone(behind, end);
}

/*
 * The end of a duration, NULL if there is none: numbers, each with its unit.
 */
static const char *
match_duration(const char *at, const char *end)
{
	static const char *const units[] = {"ns", "us", "ms", "min", "s", "m", "h", "d"};
	const char *behind = NULL;

	while (at < end && is_digit(*at))
	{
		const char *unit = NULL;

		at = skip_fraction(skip_digits(at, end), end);
		for (int i = 0; i < lengthof(units) && unit == NULL; i++)
			unit = match(at, end, units[i]);
		if (unit == NULL)
			return NULL;
		at = behind = unit;
	}
	return behind;
}

/*
 * Whether there is what has replaced a fraction that was part of a word.
 */
static bool
fraction_follows(const Reader *reader, const char *at)
{
	return at < reader->end && (*at == '.' || *at == ',') &&
		   placeholder_length(at + 1, reader->end) > 0;
}

/*
 * A date, a time of day or a duration.
 */
static bool
take_time(Reader *reader)
{
	static const char *(*const forms[])(const char *,
										const char *) = {match_iso_date, match_mail_date,
														 match_time_of_day, match_duration};

	if (!is_digit(*reader->at))
		return false;
	for (int i = 0; i < lengthof(forms); i++)
	{
		const char *at = forms[i](reader->at, reader->end);

		if (at != NULL && !continues_word(reader, at) && !fraction_follows(reader, at))
			return replace(reader, at, PLACEHOLDER("time"));
	}
	return false;
}

/*
 * A day of the week before a date.
 */
static bool
take_weekday(Reader *reader)
{
	static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
	const char *at = reader->at;

	if (reader->end - at < 5 || !is_among(at, 3, days, lengthof(days)) ||
		(at = match(at + 3, reader->end, ", ")) == NULL)
		return false;
	at = match_mail_date(at, reader->end);
	return at != NULL && !continues_word(reader, at) && !fraction_follows(reader, at) &&
		   replace(reader, at, PLACEHOLDER("time"));
}

/*
 * The end of a colon and a number, which is a port, or the place.
 */
static const char *
skip_port(const Reader *reader, const char *at)
{
	const char *behind;

	if (at + 1 >= reader->end || at[0] != ':' || !is_digit(at[1]))
		return at;
	behind = skip_digits(at + 1, reader->end);
	return continues_word(reader, behind) ? at : behind;
}

/*
 * Whether there is a dot, and behind it a number or what has replaced one.
 */
static bool
number_follows(const char *at, const char *end)
{
	return at + 1 < end && at[0] == '.' && (is_digit(at[1]) || placeholder_length(at + 1, end) > 0);
}

/*
 * The end of an IPv4 address, NULL if there is none.
 */
static const char *
match_ipv4(const char *at, const char *end)
{
	for (int i = 0; i < 4; i++)
	{
		const char *behind = skip_digits(at, end);

		if (behind == at || behind - at > 3)
			return NULL;
		at = behind;
		if (i < 3 && (at == end || *at++ != '.'))
			return NULL;
	}
	return number_follows(at, end) ? NULL : at;
}

/*
 * The end of an IPv6 address that has a digit, NULL if there is none.
 */
static const char *
match_ipv6(const char *at, const char *end)
{
	int groups = 0;
	int gaps = 0;
	bool has_digit = false;

	while (at < end)
	{
		const char *group = at;

		while (at < end && is_hex(*at))
			has_digit |= is_digit(*at++);
		groups += at > group;
		/* Three colons are no part of an address, whatever is behind them. */
		if (at - group > 4 || (at == group && gaps > 0 && at < end && *at == ':'))
			return NULL;
		if (at + 1 < end && at[0] == ':' && at[1] == ':')
		{
			gaps++;
			at += 2;
		}
		else if (at + 1 < end && at[0] == ':' && is_hex(at[1]))
			at++;
		else
			break;
	}
	if (!has_digit || gaps > 1 || (gaps == 0 ? groups != 8 : groups > 7) ||
		number_follows(at, end) || (at < end && *at == ':' && placeholder_length(at + 1, end) > 0))
		return NULL;
	return at;
}

/*
 * An IP address, with its port.
 */
static bool
take_ip(Reader *reader)
{
	const char *at = reader->at;
	bool is_v4 = true;

	if (!is_hex(*at) && !(at[0] == ':' && reader->end - at > 2 && at[1] == ':' && is_hex(at[2]) &&
						  (reader->len == 0 || reader->blank)))
		return false;
	if ((at = match_ipv4(reader->at, reader->end)) == NULL)
	{
		is_v4 = false;
		at = match_ipv6(reader->at, reader->end);
	}
	if (at == NULL || continues_word(reader, at))
		return false;
	return replace(reader, is_v4 ? skip_port(reader, at) : at, PLACEHOLDER("ip"));
}

/*
 * Whether a name before a colon and a number is one of a host: it has several parts, and
 * is no file of source code.
 */
static bool
is_host_name(const char *name, int len)
{
	const char *last = name + len;

	while (last > name && last[-1] != '.')
		last--;
	if (last == name)
		return len == strlen("localhost") && pg_strncasecmp(name, "localhost", len) == 0;
	return is_letter(*last) &&
		   !is_among(last, name + len - last, source_endings, lengthof(source_endings));
}

/*
 * A host with a port.
 */
static bool
take_host(Reader *reader)
{
	const char *at = reader->at;
	const char *behind;

	if (!is_letter(*at) && !is_digit(*at))
		return false;
	while (at < reader->end && is_host(*at))
		at++;
	behind = skip_port(reader, at);
	if (behind == at || !(reader->in_authority || is_host_name(reader->at, at - reader->at)))
		return false;
	return replace(reader, behind, PLACEHOLDER("host"));
}

/*
 * Find the mark that closes a quotation, NULL if there is none.  An apostrophe in a
 * word closes nothing, and neither does a mark behind a backslash.
 */
static const char *
find_closing(Reader *reader, Quotes *quotes, const char *from, char mark)
{
	const char *limit = reader->closing != NULL ? reader->closing : reader->end;

	if (quotes->none_from != NULL && from >= quotes->none_from && limit == quotes->limit)
		return NULL;
	for (const char *at = from; at < limit; at++)
	{
		if (*at == '\\')
			at++;
		else if (*at == mark && !(mark == '\'' && continues_word(reader, at + 1)))
			return at;
	}
	quotes->none_from = from;
	quotes->limit = limit;
	return NULL;
}

/*
 * The mark that closes what is being read inside, with the colon of a key.
 */
static void
put_closing(Reader *reader)
{
	const char *at = reader->closing + 1;
	char piece[] = {*reader->closing, ':'};

	if (reader->closes_key)
		at = skip_blanks(at, reader->end) + 1;
	put(reader, piece, reader->closes_key ? 2 : 1, at);
	reader->after_word = reader->in_url = false;
	reader->closing = NULL;
	if (!reader->closes_key || reader->telling_value == NULL)
		return;
	reader->telling_value = skip_blanks(at, reader->end);
}

/*
 * A quotation.  Of a key in JSON, and of the value of one that tells, the marks are
 * put out and what is inside is read on.
 */
static bool
take_quotation(Reader *reader)
{
	static const char marks[] = "\"'`";
	const char *mark = memchr(marks, *reader->at, sizeof(marks) - 1);
	const char *closing, *at;
	char piece[] = "\"" PLACEHOLDER("value") "\"";

	if (mark == NULL)
		return false;
	closing = find_closing(reader, &reader->quotes[mark - marks], reader->at + 1, *mark);
	if (closing == NULL)
		return false;
	at = skip_blanks(closing + 1, reader->end);
	reader->closes_key = at < reader->end && *at == ':' && reader->closing == NULL && *mark == '"';
	if (reader->closes_key || (reader->telling_value == reader->at && reader->closing == NULL))
	{
		const char *text = reader->at + 1;
		bool tells = reader->closes_key &&
					 is_among(text, closing - text, telling_keys, lengthof(telling_keys));

		put_through(reader, reader->at + 1, false);
		reader->closing = closing;
		reader->telling_value = tells ? closing : NULL;
		return true;
	}
	if (closing == reader->at + 1)
	{
		put_through(reader, closing + 1, false);
		return true;
	}
	piece[0] = piece[sizeof(piece) - 2] = *mark;
	put(reader, piece, sizeof(piece) - 1, closing + 1);
	reader->after_word = false;
	return true;
}

/*
 * How often letters and digits follow each other in a word.
 */
static int
count_changes(const char *word, const char *end)
{
	int changes = 0;

	for (const char *at = word + 1; at < end; at++)
		changes += is_digit(*at) != is_digit(at[-1]);
	return changes;
}

/*
 * A hexadecimal number, or another id: a word in which letters and digits follow each
 * other several times, however long it is.
 */
static bool
take_id(Reader *reader)
{
	const char *word = reader->at;
	const char *end = word;
	bool is_number = true;

	while (end < reader->end && is_plain(*end))
		is_number &= is_hex(*end++);
	if (reader->rules & (1u << RULE_HEX))
	{
		const char *digits = word + 2;

		if (end - word > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X'))
		{
			while (digits < end && is_hex(*digits))
				digits++;
			if (digits == end)
				return replace(reader, end, PLACEHOLDER("hex"));
		}
		if (is_number && count_changes(word, end) >= 3)
			return replace(reader, end, PLACEHOLDER("hex"));
	}
	return (reader->rules & (1u << RULE_ID)) && end > word && count_changes(word, end) >= 3 &&
		   replace(reader, end, PLACEHOLDER("id"));
}

/*
 * A number, with a fraction, or of several parts as a version has.
 */
static bool
take_number(Reader *reader)
{
	const char *at = reader->at;

	if (!is_digit(*at))
		return false;
	at = skip_digits(at, reader->end);
	while (at + 1 < reader->end && (*at == '.' || *at == ',') && is_digit(at[1]))
		at = skip_digits(at + 1, reader->end);
	return replace(reader, at, PLACEHOLDER("number"));
}

/* ----------------------------------------------------------------
 * The text
 * ----------------------------------------------------------------
 */

/*
 * Put out words of which it is plain at a glance that no rule takes them: without a
 * digit, and not before what makes them a URL, an address, a host or a date.  That is
 * most of a text.
 */
static bool
take_plain_words(Reader *reader)
{
	const char *at = reader->at;

	while (at < reader->end && is_local(*at) && !is_digit(*at))
		at++;
	if (at == reader->at || at - reader->at > SIGNATURE_BYTES - 1 - reader->len ||
		(at < reader->end && (is_digit(*at) || *at == '@' || *at == ':' || *at == ',')))
		return false;
	put_through(reader, at, is_plain(at[-1]));
	return true;
}

/*
 * Try the rules that apply where a word or something else begins.
 */
static bool
take_whole(Reader *reader)
{
	SignatureRules rules = reader->rules;
	char c = *reader->at;

#define RULE_IS_ON(rule) ((rules & (1u << (rule))) != 0)
	if (is_letter(c) && take_plain_words(reader))
		return true;
	if (is_plain(c))
		return (RULE_IS_ON(RULE_URL) && take_scheme(reader)) ||
			   (RULE_IS_ON(RULE_EMAIL) && take_email(reader)) ||
			   (RULE_IS_ON(RULE_UUID) && take_uuid(reader)) ||
			   (RULE_IS_ON(RULE_TIME) && (take_time(reader) || take_weekday(reader))) ||
			   (RULE_IS_ON(RULE_IP) && take_ip(reader)) ||
			   (RULE_IS_ON(RULE_HOST) && take_host(reader)) || take_id(reader);
	return (RULE_IS_ON(RULE_IP) && c == ':' && take_ip(reader)) ||
		   (RULE_IS_ON(RULE_QUOTED) && take_quotation(reader));
}

/*
 * Put out what no rule takes: letters up to a digit, or one character.
 */
static void
put_rest(Reader *reader)
{
	bool keeps_digits = (reader->rules & (1u << RULE_NUMBER)) == 0;
	const char *at = reader->at;

	while (at < reader->end && (is_letter(*at) || *at == '_' || (keeps_digits && is_digit(*at))))
		at++;
	if (at > reader->at)
	{
		put_through(reader, at, true);
		return;
	}
	if (IS_HIGHBIT_SET(*at))
	{
		put_through(reader, at + Min(pg_mblen(at), reader->end - at), true);
		return;
	}
	reader->in_url = reader->in_url && !ends_url(*at);
	put_through(reader, at + 1, false);
}

/*
 * Read what stands at the reader's place.
 */
static void
read_next(Reader *reader)
{
	int placeholder;

	if (reader->at == reader->closing)
		put_closing(reader);
	else if (is_blank(*reader->at))
	{
		reader->at++;
		reader->blank = true;
		reader->after_word = reader->in_url = false;
	}
	else if ((placeholder = placeholder_length(reader->at, reader->end)) > 0)
		put_through(reader, reader->at + placeholder, true);
	else if (!(!reader->after_word && take_whole(reader)) &&
			 !((reader->rules & (1u << RULE_URL)) && take_query(reader)) &&
			 !((reader->rules & (1u << RULE_NUMBER)) && take_number(reader)))
		put_rest(reader);
}

/*
 * Read an error once; the arguments are those of MakeSignature.  *is_full tells whether
 * there was more than a signature has room for.
 */
static int
read_error(char *signature, const char *error, int len, SignatureRules rules, bool *is_full)
{
	Reader reader = {.rules = rules, .at = error, .signature = signature, .no_email = error};

	if (len > ERROR_BYTES)
		len = pg_mbcliplen(error, len, ERROR_BYTES);
	reader.end = error + len;
	while (reader.at < reader.end && !reader.is_full)
		read_next(&reader);
	/* An apostrophe before what was cut off would close a quotation now. */
	while (reader.is_full && reader.len > 0 && strchr("' ", signature[reader.len - 1]) != NULL)
		reader.len--;
	*is_full = reader.is_full;
	return reader.len;
}

/*
 * Make the signature of an error, which is in the database's encoding.  Returns its
 * length; it has room for SIGNATURE_BYTES, and is never cut within a character.
 */
int
MakeSignature(char *signature, const char *error, int len, SignatureRules rules)
{
	char again[SIGNATURE_BYTES];
	bool is_full, ignored;

	len = read_error(signature, error, len, rules, &is_full);
	/* What stands before the end may be something else now that it is the end.  With each
	 * change there is less that is no placeholder, so this comes to an end. */
	while (is_full)
	{
		int again_len = read_error(again, signature, len, rules, &ignored);

		is_full = again_len != len || memcmp(again, signature, len) != 0;
		memcpy(signature, again, again_len);
		len = again_len;
	}
	return len;
}

/*
 * Read a list of names of rules, separated by commas, perhaps with blanks; NULL is all.
 * Raises invalid_parameter_value for another name.
 */
SignatureRules
ReadSignatureRules(const char *names)
{
	SignatureRules rules = 0;
	const char *at = names;

	if (names == NULL)
		return ALL_RULES;
	while (*at != '\0')
	{
		int skipped = strspn(at, ", \t\n\r");
		int len;
		int rule = 0;

		at += skipped;
		len = strcspn(at, ", \t\n\r");
		if (len == 0)
			break;
		while (rule < NUM_RULES &&
			   !(strlen(rule_names[rule]) == len && memcmp(rule_names[rule], at, len) == 0))
			rule++;
		if (rule == NUM_RULES)
		{
			StringInfoData known;

			initStringInfo(&known);
			for (int i = 0; i < NUM_RULES; i++)
				appendStringInfo(&known, "%s%s", i > 0 ? ", " : "", rule_names[i]);
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("unknown signature rule \"%s\"", ClipForMessage(at, len)),
							errhint("Rules are %s.", known.data)));
		}
		rules |= 1u << rule;
		at += len;
	}
	return rules;
}

/*
 * acteon_error_signature(error text, rules text) → text
 *
 * What errors that differ only in details have in common: the text without them,
 * 512 bytes at most.  rules names those that apply, separated by commas; all by
 * default.  Raises invalid_parameter_value for another name.
 */
Datum
acteon_error_signature(PG_FUNCTION_ARGS)
{
	text *error = PG_GETARG_TEXT_PP(0);
	SignatureRules rules = ReadSignatureRules(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	char signature[SIGNATURE_BYTES];
	int len = MakeSignature(signature, VARDATA_ANY(error), VARSIZE_ANY_EXHDR(error), rules);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(signature, len));
}
