typedef int avx512_not_empty;
