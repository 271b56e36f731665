"""Where data, models and gradops meet: from raw bytes to a registered model."""

# MLflow searches a loaded model's own code first. Imported here, these two are of the same revision as this package,
# also where a model of another one is loaded next.
import features  # noqa: F401  # kept in sys.modules
import models  # noqa: F401  # kept in sys.modules

# Models that were registered when this package was one folder import modules of it by the names of then.
__path__.append(f"{__path__[0]}/serving/renamed")
