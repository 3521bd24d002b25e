# Names nothing, so check_listed must refuse the files beside it.
