#include "datatype/timestamp.h"
