/* Not compiled: the lowest folder of the program includes a higher one. */
#include "gate/gate.h"
