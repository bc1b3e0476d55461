/* Lists are only passed on. */
typedef struct List List;
