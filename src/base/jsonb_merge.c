/*
 * jsonb_merge.c
 *		Merge patches of JSON (RFC 7396), applied to jsonb.
 *
 * The members of an object lie in the order of their keys, so an object and its patch
 * are merged in one pass, and the result is written straight in its binary form, as in
 * jsonb_writer.c.  Values that the patch does not change are copied as they are: what a
 * merge takes follows the size of both, and its stack the depth of the patch alone.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"

#include "base/jsonb_merge.h"
#include "base/jsonb_writer.h"

/* The members of an object, of which one is the next. */
typedef struct Members
{
	const JsonbContainer *object; /* NULL: there are none */
	const char *data;             /* of its keys and values */
	uint32 count;
	uint32 at;
	uint32 key_start; /* in data */
	uint32 key_end;
	uint32 value_start;
	uint32 value_end;
} Members;

/* A member of the result. */
typedef struct Member
{
	const char *key;
	const char *value; /* copied, unless it is merged */
	uint32 key_len;
	uint32 value_len;
	uint32 type;
	const JsonbContainer *patch;  /* to be merged; NULL: it is copied */
	const JsonbContainer *target; /* with this one; NULL: with nothing */
} Member;

/*
 * Find the ends of the next member, whose beginnings are known.
 */
static void
measure_member(Members *members)
{
	if (members->at == members->count)
		return;
	members->key_end = members->key_start;
	members->value_end = members->value_start;
	JBE_ADVANCE_OFFSET(members->key_end, members->object->children[members->at]);
	JBE_ADVANCE_OFFSET(members->value_end, members->object->children[members->count + members->at]);
}

/*
 * Begin to read an object; NULL has no members.
 */
static void
begin_members(Members *members, const JsonbContainer *object)
{
	memset(members, 0, sizeof(*members));
	if (object == NULL)
		return;
	members->object = object;
	members->count = JsonContainerSize(object);
	members->data = (const char *) &object->children[2 * members->count];
	if (members->count > 0)
		members->value_start = getJsonbOffset(object, members->count);
	measure_member(members);
}

/*
 * Go on to the next member.
 */
static void
advance(Members *members)
{
	members->key_start = members->key_end;
	members->value_start = members->value_end;
	members->at++;
	measure_member(members);
}

/*
 * Order of the next members of two objects; one that has no more comes last.
 */
static int
compare_next(const Members *a, const Members *b)
{
	if (a->at == a->count || b->at == b->count)
		return (a->at == a->count) - (b->at == b->count);
	return CompareJsonKeys(a->data + a->key_start, a->key_end - a->key_start,
						   b->data + b->key_start, b->key_end - b->key_start);
}

/*
 * Read the next member, to be copied.  Its value is without the padding before it.
 */
static void
read_member(const Members *members, Member *member)
{
	uint32 start = members->value_start;

	member->key = members->data + members->key_start;
	member->key_len = members->key_end - members->key_start;
	member->type = members->object->children[members->count + members->at] & JENTRY_TYPEMASK;
	if (member->type == JENTRY_ISCONTAINER || member->type == JENTRY_ISNUMERIC)
		start = INTALIGN(start);
	member->value = members->data + start;
	member->value_len = members->value_end - start;
	member->patch = member->target = NULL;
}

/*
 * The object that is the value of a member, or NULL.
 */
static const JsonbContainer *
object_of(const Member *member)
{
	const JsonbContainer *container = (const JsonbContainer *) member->value;

	return member->type == JENTRY_ISCONTAINER && JsonContainerIsObject(container) ? container
																				  : NULL;
}

/*
 * List the members of an object after a patch, in their order.  Returns how many there
 * are; there is room for all of both.
 */
static uint32
merge_members(Member *merged, const JsonbContainer *target, const JsonbContainer *patch)
{
	Members from, to;
	uint32 count = 0;

	begin_members(&from, target);
	begin_members(&to, patch);
	while (from.at < from.count || to.at < to.count)
	{
		int order = compare_next(&from, &to);
		Member *member = &merged[count];
		const JsonbContainer *before = NULL;

		if (order <= 0)
		{
			read_member(&from, member);
			before = object_of(member);
			advance(&from);
		}
		if (order >= 0)
		{
			read_member(&to, member);
			member->patch = object_of(member);
			member->target = before;
			advance(&to);
		}
		if (order < 0 || member->type != JENTRY_ISNULL)
			count++;
	}
	return count;
}

/*
 * Append zeros up to where a container or a number may be.
 */
static void
pad(StringInfo out)
{
	while (out->len != INTALIGN(out->len))
		appendStringInfoCharMacro(out, '\0');
}

/*
 * Write the entry of the index-th child of a container, which began at byte start and
 * ends where the output does.  The container's entries begin at byte entries, its data
 * at byte data.
 */
static void
write_entry(StringInfo out, uint32 type, int index, int start, int entries, int data)
{
	JEntry entry;

	if (out->len - data > JENTRY_OFFLENMASK)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("patched payload is too large for jsonb")));
	entry = MakeJsonEntry(type, index, out->len - start, out->len - data);
	memcpy(out->data + entries + index * sizeof(JEntry), &entry, sizeof(JEntry));
}

/*
 * Append the container of an object after a patch.  Of no object, NULL, that is the patch
 * without its nulls.
 */
static void
write_merged(StringInfo out, const JsonbContainer *target, const JsonbContainer *patch)
{
	Size room = JsonContainerSize(patch) + (target == NULL ? 0 : JsonContainerSize(target));
	Member *members = palloc_extended(Max(room, 1) * sizeof(Member), MCXT_ALLOC_HUGE);
	uint32 count = merge_members(members, target, patch);
	uint32 header = count | JB_FOBJECT;
	int entries, data;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	pad(out);
	appendBinaryStringInfo(out, (char *) &header, sizeof(header));
	entries = out->len;
	enlargeStringInfo(out, 2 * count * sizeof(JEntry));
	out->len += 2 * count * sizeof(JEntry);
	data = out->len;
	for (uint32 i = 0; i < count; i++)
	{
		int start = out->len;

		appendBinaryStringInfo(out, members[i].key, members[i].key_len);
		write_entry(out, JENTRY_ISSTRING, i, start, entries, data);
	}
	for (uint32 i = 0; i < count; i++)
	{
		const Member *member = &members[i];
		int start = out->len;

		if (member->patch != NULL)
			write_merged(out, member->target, member->patch);
		else
		{
			if (member->type == JENTRY_ISCONTAINER || member->type == JENTRY_ISNUMERIC)
				pad(out);
			appendBinaryStringInfo(out, member->value, member->value_len);
		}
		write_entry(out, member->type, count + i, start, entries, data);
	}
	pfree(members);
}

/*
 * Apply a merge patch: members of the patch replace those of the target, objects are
 * merged, and a null removes a member.  A patch that is no object replaces the target as
 * a whole; a target that is none is replaced by the patch without its nulls.  Returns the
 * result in the current memory context, perhaps one of the arguments.  Raises
 * program_limit_exceeded if it is larger than jsonb allows.
 */
Jsonb *
MergePatch(Jsonb *target, Jsonb *patch)
{
	StringInfoData out;

	if (!JB_ROOT_IS_OBJECT(patch))
		return patch;
	initStringInfo(&out);
	enlargeStringInfo(&out, VARSIZE(target) + VARSIZE(patch));
	out.len = VARHDRSZ;
	write_merged(&out, JB_ROOT_IS_OBJECT(target) ? &target->root : NULL, &patch->root);
	SET_VARSIZE(out.data, out.len);
	return (Jsonb *) out.data;
}
