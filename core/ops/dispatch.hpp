// Ops dispatch as all else that knows devices does.
#pragma once

#include "core/dispatch.hpp"
