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
#include "base/jsonb_parts.h"
#include "base/jsonb_writer.h"

/* The members of an object, of which one is the next. */
typedef struct Members
{
	JsonbReader keys;
	JsonbReader values;
	uint32 left; /* the next one among them */
	JsonbPart key;
	JsonbPart value;
} Members;

/* A member of the result. */
typedef struct Member
{
	JsonbPart key;
	JsonbPart value;              /* copied, unless it is merged */
	const JsonbContainer *patch;  /* to be merged; NULL: it is copied */
	const JsonbContainer *target; /* with this one; NULL: with nothing */
} Member;

/*
 * Read the next member, if there is one.
 */
static void
read_member(Members *members)
{
	if (members->left == 0)
		return;
	ReadJsonbPart(&members->keys, &members->key);
	ReadJsonbPart(&members->values, &members->value);
}

/*
 * Begin to read an object; NULL has no members.
 */
static void
begin_members(Members *members, const JsonbContainer *object)
{
	members->left = object == NULL ? 0 : JsonContainerSize(object);
	if (members->left == 0)
		return;
	BeginParts(&members->keys, object, 0);
	BeginParts(&members->values, object, members->left);
	read_member(members);
}

/*
 * Order of the next members of two objects; one that has no more comes last.
 */
static int
compare_next(const Members *a, const Members *b)
{
	if (a->left == 0 || b->left == 0)
		return (a->left == 0) - (b->left == 0);
	return CompareJsonKeys(a->key.data, a->key.len, b->key.data, b->key.len);
}

/*
 * Take the next member, to be copied.
 */
static void
take_member(Members *members, Member *member)
{
	*member = (Member){members->key, members->value, NULL, NULL};
	members->left--;
	read_member(members);
}

/*
 * The object that is the value of a member, or NULL.
 */
static const JsonbContainer *
object_of(const Member *member)
{
	const JsonbContainer *container = PartContainer(&member->value);

	return container != NULL && JsonContainerIsObject(container) ? container : NULL;
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
	while (from.left > 0 || to.left > 0)
	{
		int order = compare_next(&from, &to);
		Member *member = &merged[count];
		const JsonbContainer *before = NULL;

		if (order <= 0)
		{
			take_member(&from, member);
			before = object_of(member);
		}
		if (order >= 0)
		{
			take_member(&to, member);
			member->patch = object_of(member);
			member->target = before;
		}
		if (order < 0 || member->value.type != JENTRY_ISNULL)
			count++;
	}
	return count;
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
	JsonbFrame frame;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	frame = BeginContainer(out, count | JB_FOBJECT, 2 * count);
	for (uint32 i = 0; i < count; i++)
	{
		int start = out->len;

		AppendPart(out, &members[i].key);
		EndPart(out, &frame, JENTRY_ISSTRING, i, start);
	}
	for (uint32 i = 0; i < count; i++)
	{
		const Member *member = &members[i];
		int start = out->len;

		if (member->patch != NULL)
			write_merged(out, member->target, member->patch);
		else
			AppendPart(out, &member->value);
		EndPart(out, &frame, member->value.type, count + i, start);
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
