module outrigger.dev/tests/cluster/recipes/sources/app

go 1.24
