typedef int avx2_not_empty;
